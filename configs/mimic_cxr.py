"""MIMIC-CXR with R2GenCMN's published recipe: one film, up to 100 tokens.

  python main.py --config=configs/mimic_cxr.py:cmn --workdir=runs/mimic_cmn \
    --config.data.dir=data/mimic_cxr_jpg --config.data.view_rule=frontal

`data.dir` is MIMIC-CXR-JPG with the reports unpacked over it, a folder that
`input_pipeline.prepare` has written, or R2Gen's annotation.json and images/,
which names no views: leave view_rule alone there. --config.data.stream=True
prepares nothing. Variants: base, mem, cmn, proposed (the default), classifier,
classifier_ce, ekagen_diagnosis and ekagen_locator, as in iu_xray.py.
"""

from ml_collections import ConfigDict

from configs import base, ekagen

CHANGES = {
  'seed': 9153,
  'data.dir': 'data/mimic_cxr_jpg',
  'data.views': 1,
  'data.min_films': 1,
  'data.max_length': 100,
  'data.reference_length': 100,
  'data.min_count': 10,
  'data.clean': 'mimic_cxr',
  'optim.step_epochs': 3,
  'train.epochs': 30,
  'train.log_every': 100,
}


# The authors' batch of this data.
VARIANTS = {
  **base.VARIANTS,
  **{
    name: (task, {**own, 'train.batch_size': 32})
    for name, (task, own) in ekagen.VARIANTS.items()
  },
}


def get_config(variant: str = 'proposed') -> ConfigDict:
  """The IU X-Ray config with what the authors changed for MIMIC-CXR."""
  return base.make_config('mimic_cxr.py', variant, CHANGES, VARIANTS)
