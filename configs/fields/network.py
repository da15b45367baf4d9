"""What is trained: the network, and the parts that a task adds to it."""


def model() -> dict:
  """The network; the fields of `ModelConfig`."""
  return {
    # resnet18, resnet34, resnet50, resnet101, vit_b16, swin_t or
    # efficientnet_lite0.
    'encoder': 'resnet101',
    # Channels of a ResNet's first stage, or of one head of the ViT; as
    # published 64 in both.
    'encoder_width': 64,
    # Weights that the encoder starts from. 'imagenet': the published ones,
    # downloaded once from the Hugging Face hub; where that fails, random
    # ones, and the run says so. '': random ones. Or a file (torchvision's
    # .pth, a .safetensors), a folder of `cmn_jax.convert encoder`, the
    # workdir of an earlier run, or a model on the hub by its name, such as
    # 'timm/resnet101.tv_in1k'; the run ends where it is not there.
    'pretrained': 'imagenet',
    # 'none', 'separate' or 'shared'; set by the variant.
    'memory': 'shared',
    # '', or 'findings': the decoder is told each of them, as the report has it
    # in training, and later as a classifier of a frozen encoder's features.
    'prompts': '',
    'memory_slots': 2048,
    # Slots that answer a query.
    'memory_top_k': 32,
    'width': 512,
    'heads': 8,
    'hidden': 512,
    'layers': 3,
    'dropout': 0.1,
    'patch_dropout': 0.5,
    'memory_dropout': 0.1,
    # Arithmetic of convolutions and matrix products: float32 or bfloat16.
    'dtype': 'float32',
    # Recompute the encoder's blocks in the backward pass: less memory.
    'remat': False,
  }


def alignment() -> dict:
  """Films and reports as unit vectors: those of a study pulled together, those
  of others pushed apart. The fields of `AlignmentConfig`."""
  return {
    # Of this loss beside the report's; 0 for none, and no parameters.
    'weight': 0.0,
    # Steps over which that weight rises from 0, evenly; 0 for none.
    'warmup_steps': 0,
    # 'cosine' or 'infonce'.
    'form': 'cosine',
    # Of 'cosine': others' cosines below this cost nothing.
    'margin': 0.0,
    # Of 'infonce': what its learned temperature starts from.
    'temperature': 0.07,
    # What the decoder has seen when its output over the vocabulary becomes
    # the report's vector: 'report', or 'report+films'.
    'text': 'report',
    # Studies whose reports are word for word the same are not negatives.
    'mask_identical': True,
  }


def classifier() -> dict:
  """Of the tasks classify and diagnose; the fields of `ClassifierConfig`."""
  return {
    # Workdir of a trained report model, or a step of it. The network is the
    # one in there: `model` is not read.
    'checkpoint': '',
    # Train all of it with the classifier, or leave it as it is.
    'finetune': False,
    # What is read: 'image', 'image+reference' (the radiologist's report) or
    # 'image+generated' (the report model's own, which can be deployed).
    'inputs': 'image',
    # 'multi_label', or 'single_label': a study's primary finding, which is the
    # one that is rarest in training.
    'task': 'multi_label',
    # 'auto' (as drawn on a phantom, else 'rules'), 'rules' (read in the
    # report), the data's own ('mesh' or 'chexpert'), or a .csv with a column id
    # and one for each of CheXpert's 14 classes.
    'labels': 'auto',
    # Classes to do without, separated by commas.
    'leave_out': '',
    # '2/5': the second of five parts of the training studies is not learnt
    # from, so that the classifier can say its labels unseen; '' for none.
    'fold': '',
    # A class is found from a threshold on, the best on validation by 'f1', by
    # 'youden' (recall less false alarms), which calls rare classes often, or,
    # one for all, by 'micro_f1': where classes have few positives.
    'thresholds': 'f1',
    # The loss is a sum of cross-entropy and focal loss: (1 - p)^gamma times
    # alpha for positives and 1 - alpha for negatives.
    'ce_weight': 1.0,
    'focal_weight': 0.0,
    'gamma': 2.0,
    'alpha': 0.25,
    # Positives of a class weigh (negatives / positives) to this power.
    'class_weights': 0.0,
    # Draw studies so that all classes come up alike.
    'balanced_sampling': False,
    # Width of the perceptron, and its dropout.
    'hidden': 256,
    'dropout': 0.3,
  }


def consensus() -> dict:
  """Of the task consensus, and of model.prompts; as in `ConsensusConfig`."""
  return {
    # Penalty on the weights of the findings' logistic regression.
    'l2': 1e-4,
    # Penalty of the regression from a study to the reports' utilities.
    'ridge': 10.0,
    # Of CIDEr beside BLEU-4 in the utility.
    'cider_weight': 0.2,
    # A finding is stated from this probability on,
    'stated_above': 0.16,
    # where one of the study's findings reaches this.
    'study_above': 0.22,
  }
