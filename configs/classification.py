"""The classifier variants of all configs: their fields and how they train."""

from ml_collections import ConfigDict

# Weight of the focal loss beside the cross-entropy.
VARIANTS = {'classifier': 1.0, 'classifier_ce': 0.0}


def section(variant: str) -> dict:
  """Fields of `config.classifier`; other variants do not read them."""
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
    # The loss is a sum of cross-entropy and focal loss: (1 - p)^gamma times
    # alpha for positives and 1 - alpha for negatives.
    'ce_weight': 1.0,
    'focal_weight': VARIANTS.get(variant, 0.0),
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


def set_training(config: ConfigDict):
  """How a classifier trains, where `config` is of such a variant."""
  if config.variant not in VARIANTS:
    return
  config.update_from_flattened_dict(
    {
      'optim.visual_rate': 1e-4,
      'optim.rate': 1e-3,
      'optim.schedule': 'cosine',
      'optim.warmup_steps': 100,
      'optim.amsgrad': False,
      'train.batch_size': 32,
      'train.epochs': 30,
      'train.patience': 30,
      # micro_f1, f1_macro, f1_weighted, auroc_macro, auprc_macro or accuracy.
      'train.select_by': 'micro_f1',
      'eval.batch_size': 32,
    }
  )
