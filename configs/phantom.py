"""The built-in chest phantom with a small model: the demo, on a CPU.

  python main.py --config=configs/phantom.py --workdir=runs/phantom

Makes its own data on first use. Variants: base, mem, cmn, and proposed, the
default. ekagen_diagnosis and ekagen_locator, classifiers of single films, are
a narrow ResNet-18 here: Swin-T learns nothing from so few films.
"""

from ml_collections import ConfigDict

from configs import base

CHANGES = {
  'seed': 1,
  'data.dir': 'data/phantom',
  'data.phantom_studies': 3000,
  'data.phantom_seed': 2,
  'data.phantom_size': 128,
  'data.image_size': 112,
  'data.stored_size': 128,
  # R2Gen's crops are of a larger scale than validation's whole films: with so
  # small ones what is learned of them does not carry over each time.
  'data.crop': False,
  'model.encoder': 'resnet18',
  'model.encoder_width': 16,
  'model.pretrained': '',
  'model.memory_slots': 256,
  'model.memory_top_k': 16,
  'model.width': 128,
  'model.heads': 4,
  'model.hidden': 256,
  'model.layers': 2,
  'model.patch_dropout': 0.1,
  'optim.visual_rate': 2e-3,
  'optim.rate': 1e-3,
  'optim.schedule': 'cosine',
  'optim.warmup_steps': 100,
  'optim.amsgrad': False,
  'optim.weight_decay': 0.0,
  # Without a pretrained encoder, words alone teach it too slowly.
  'train.findings_weight': 0.3,
  'train.batch_size': 8,
  'train.epochs': 12,
  'train.patience': 12,
  'train.select_by': 'micro_f1',
  'eval.batch_size': 32,
}
FILMS = {
  'model.encoder': 'resnet18',
  'data.views': 1,
  'optim.visual_rate': 2e-3,
  'optim.rate': 2e-3,
  'optim.weight_decay': 0.0,
  'train.batch_size': 16,
  'train.epochs': 20,
}
# The captioner's encoder is the classifier's, see cmn_jax.ekagen.
CAPTIONER = {
  name: CHANGES[name]
  for name in (
    *('seed', 'data.image_size', 'data.stored_size'),
    *('model.width', 'model.heads', 'model.hidden', 'model.layers'),
    *('optim.visual_rate', 'optim.rate', 'optim.schedule'),
    *('optim.warmup_steps', 'optim.weight_decay', 'train.batch_size'),
  )
} | {
  'data.max_length': 60,
  'data.reference_length': 60,
  # Words alone would spoil the classifier's encoder, and train it slowly.
  'train.freeze': 'visual_encoder',
  # Sides are learned last: after eight they are still a matter of chance.
  'train.epochs': 24,
  'ekagen.dilated': False,
  'ekagen.word_hidden': 256,
  'ekagen.light': False,
  'ekagen.placed_tokens': True,
}
FIRST_TEACHER = {**CAPTIONER, 'train.epochs': 3}
# Fused word by word alone, as published, knowledge says little.
WITH_KNOWLEDGE = {**CAPTIONER, 'ekagen.attend_knowledge': True}
# Without a classifier of its kind it starts from random weights, and learns.
VIT = {
  **WITH_KNOWLEDGE,
  'model.encoder': 'vit_b16',
  'model.encoder_width': 8,
  'train.freeze': '',
  'train.epochs': 12,
  'optim.visual_rate': 5e-4,
  'ekagen.frozen': 'none',
}
VARIANTS = {
  **base.VARIANTS,
  'ekagen_first_teacher': ('ekagen', FIRST_TEACHER),
  'ekagen_teacher': ('ekagen', WITH_KNOWLEDGE),
  'ekagen_rn101': ('ekagen', WITH_KNOWLEDGE),
  'ekagen_vitb16': ('ekagen', VIT),
  'ekagen_diagnosis': ('diagnose', FILMS),
  'ekagen_locator': ('diagnose', FILMS),
}


def get_config(variant: str = 'proposed') -> ConfigDict:
  """The IU X-Ray config with a small model and data that it draws itself."""
  return base.make_config('phantom.py', variant, CHANGES, VARIANTS)
