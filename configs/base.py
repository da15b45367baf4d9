"""Every field of a config with its published value; files beside it differ."""

from ml_collections import ConfigDict

from configs import ekagen
from configs.recipes import RECIPES

# Task of each variant, and what it changes.
VARIANTS = {
  # R2GenCMN without memory.
  'base': ('report', {'model.memory': 'none'}),
  # One memory for films, one for words.
  'mem': ('report', {'model.memory': 'separate'}),
  # One memory that both share: the published model.
  'cmn': ('report', {'model.memory': 'shared'}),
  # cmn, and films and reports aligned by a contrastive loss.
  'proposed': (
    'report',
    {'model.memory': 'shared', 'alignment.weight': 1.0},
  ),
  # A classifier on a trained report model, with focal loss and without.
  'classifier': ('classify', {'classifier.focal_weight': 1.0}),
  'classifier_ce': ('classify', {}),
  # The training report that similar studies agree on; no step is taken.
  'consensus': (
    'consensus',
    {'train.epochs': 0, 'train.select_by': 'micro_f1'},
  ),
  # Classifiers of single films, whose labels and places EKAGen reads.
  'ekagen_diagnosis': ('diagnose', {'model.encoder': 'swin_t'}),
  'ekagen_locator': ('diagnose', {'model.encoder': 'resnet34'}),
  # Captioners with its knowledge.
  **ekagen.VARIANTS,
}


def make_config(
  file: str, variant: str, changes: dict, variants: dict | None = None
) -> ConfigDict:
  """The config of a variant.

  Args:
    file: the config file that asks, such as 'phantom.py'.
    variant: a key of `variants`.
    changes: field to value, of all variants of that file.
    variants: name to (task, changes); VARIANTS where None.

  Raises:
    ValueError: no such variant.
  """
  variants = VARIANTS if variants is None else variants
  if variant not in variants:
    raise ValueError(
      f'no variant {variant!r} of this config; choose from '
      f'{", ".join(variants)}'
    )
  task, own = variants[variant]
  config = ConfigDict(
    {
      # What is trained: a key of cmn_jax.tasks.TASKS. Not to be changed.
      'task': task,
      # The file and the variant that this config was made from; likewise.
      'named': f'{file}:{variant}',
      # The row's name in tables: free text.
      'name': variant,
      # Of parameters, batch order, crops and dropout.
      'seed': 7580,
      # Runs with seed, seed + 1, ..., each in its folder seed_N of the workdir;
      # 1 is a single run, in the workdir itself.
      'seeds': 1,
      'data': data(),
      'model': model(),
      'alignment': alignment(),
      'classifier': classifier(),
      'consensus': consensus(),
      'ekagen': ekagen.section(),
      'optim': optim(),
      'train': train(),
      'decode': decode(),
      'eval': evaluation(),
    }
  )
  config.update_from_flattened_dict(changes)
  config.update_from_flattened_dict(RECIPES.get(task, {}))
  config.update_from_flattened_dict(own)
  return config


def data() -> dict:
  """What is read, and how films and reports become arrays."""
  return {
    # IU X-Ray or MIMIC-CXR in any layout that input_pipeline.prepare
    # knows, such as annotation.json and images/ (R2Gen's).
    'dir': 'data/iu_xray',
    # Draw a phantom of so many studies into `dir` if it does not exist; 0
    # never does. Its seed, and the side of its films in pixels.
    'phantom_studies': 0,
    'phantom_seed': 1,
    'phantom_size': 256,
    # Resized films are kept here after the first use.
    'cache_dir': '~/.cache/cmn_jax',
    # Read, decode and resize the films each time instead: slower, but
    # nothing is prepared or kept. The batches are the same.
    'stream': False,
    # Films per study that the model sees.
    'views': 2,
    # Pixels of a film as the model sees it.
    'image_size': 224,
    # Short side of stored training films, from which crops are taken.
    'stored_size': 256,
    # Tokens of a report, the zeros at both ends included.
    'max_length': 60,
    # Words seen less often in the training reports become <unk>.
    'min_count': 3,
    # How reports are cleaned: 'iu_xray' or 'mimic_cxr'.
    'clean': 'iu_xray',
    # Report sections: 'findings' or 'findings+impression' (the R2Gen
    # layout has but one text and takes no choice).
    'sections': 'findings',
    # Which films of a study: 'first', 'frontal_first' (the same, frontal ones
    # before the others), 'frontal_lateral' or 'frontal'.
    'view_rule': 'first',
    # Studies with fewer films are left out (R2Gen's rule is 2). With 1,
    # a film that a study does not have is masked.
    'min_films': 2,
    # An annotation.json whose split is taken; '' for the data's own.
    'split_from': '',
    # 'words' as R2Gen has them; 'ekagen': the same as EKAGen numbers them; or
    # SentencePiece learnt from the training reports: 'unigram' or 'bpe', with
    # so many pieces (0 with words).
    'tokenizer': 'words',
    'pieces': 0,
    # Words to which references are cut, the zeros counted: scores compare
    # only where it is the same, whatever the tokenizer.
    'reference_length': 60,
    # Go on without studies whose films are missing or unreadable (with
    # stream, unreadable ones of the training split alone).
    'skip_bad': False,
    # Random crops of training films.
    'crop': True,
    # 0: a crop is a square of image_size at any place, as the authors
    # have it. Above: each edge loses at most this share of the film, so
    # that the lungs stay.
    'crop_margin': 0.0,
    # Random left-right flips of each film. The authors flip; the report's
    # left and right stay as they are, so we do not.
    'flip': False,
    # Random flips of whole studies, left and right swapped in the report.
    'flip_with_text': False,
    # Random rotations by at most so many degrees, either way.
    'rotate': 0.0,
    # At most this share of the grey scale added or taken away.
    'brightness': 0.0,
    # Differences of grey times 1 - this to 1 + this.
    'contrast': 0.0,
  }


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


def optim() -> dict:
  """Adam as torch computes it; the fields of `OptimConfig`."""
  return {
    'visual_rate': 1e-4,
    'rate': 5e-4,
    # 'step' (times gamma every step_epochs epochs) or 'cosine'.
    'schedule': 'step',
    'step_epochs': 10,
    'gamma': 0.8,
    'warmup_steps': 0,
    'b1': 0.9,
    'b2': 0.98,
    'epsilon': 1e-9,
    'weight_decay': 5e-5,
    # Decay is added to the gradient (torch's Adam), or to the step (AdamW).
    'decoupled': False,
    'amsgrad': True,
    # Bound on the gradient's norm; 0 for none.
    'clip_norm': 0.0,
  }


def train() -> dict:
  """The loop."""
  return {
    # Studies of a step, over all devices.
    'batch_size': 16,
    'epochs': 100,
    # Stop after so many epochs without a better validation score.
    'patience': 50,
    # Validate, and save a checkpoint, every so many epochs.
    'validate_every': 1,
    # Saves between two validations; 0 for none.
    'save_every_steps': 0,
    'save_every_seconds': 600.0,
    # Validation score that picks the checkpoint: bleu_1 to bleu_4,
    # rouge_l, cider or micro_f1 (of findings).
    'select_by': 'bleu_4',
    # What is not trained: '' or 'visual_encoder', whose maps of all images are
    # then computed once, uncropped, and cached.
    'freeze': '',
    # Draw studies so that this share of them has a finding; 0 draws each study
    # once an epoch.
    'abnormal_share': 0.0,
    # Weight of a findings head's loss beside the report's; 0 for no head,
    # as the authors train.
    'findings_weight': 0.0,
    # 'pmap' or 'shard_map'; the results are the same.
    'parallel': 'pmap',
    # TensorBoard rows every so many steps.
    'log_every': 10,
  }


def decode() -> dict:
  """How words are chosen; the fields of `Decoding`."""
  return {
    # 'beam', 'greedy' or 'sample'.
    'method': 'beam',
    'beam_size': 3,
    # Of 'sample' alone.
    'temperature': 1.0,
    'top_p': 1.0,
  }


def evaluation() -> dict:
  """What is written into `evaluation/` and report.html."""
  return {
    # Studies written at once, over all devices.
    'batch_size': 16,
    # Resamples of each 95 % interval.
    'bootstrap': 1000,
    # Studies shown in report.html.
    'examples': 12,
  }
