"""How each task trains, in all configs: field to value."""

from configs import ekagen

# How a classifier trains, in all configs.
CLASSIFY = {
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
# How a classifier of films trains, in all configs.
DIAGNOSE = {
  'optim.visual_rate': 1e-4,
  'optim.rate': 1e-3,
  'optim.schedule': 'cosine',
  'optim.warmup_steps': 100,
  'optim.amsgrad': False,
  'optim.weight_decay': 1e-4,
  # No class has a side.
  'data.flip': True,
  'train.batch_size': 64,
  'train.epochs': 30,
  'train.patience': 30,
  'train.select_by': 'auroc_macro',
  'eval.batch_size': 32,
}
# Of each task that has one.
RECIPES = {
  'classify': CLASSIFY,
  'diagnose': DIAGNOSE,
  'ekagen': ekagen.RECIPE,
}
