"""IU X-Ray with R2GenCMN's published recipe (ResNet-101, 224 pixels).

  python main.py --config=configs/iu_xray.py:cmn --workdir=runs/iu_xray_cmn \
    --config.data.dir=data/iu_xray

Variants: base (no memory), mem (one memory for films, one for words), cmn
(one memory that both share), proposed (cmn, and films and reports aligned by a
contrastive loss; the default); classifier and classifier_ce (no focal loss),
which need --config.classifier.checkpoint=runs/iu_xray_cmn; ekagen_diagnosis
(Swin-T) and ekagen_locator (ResNet-34), classifiers of single films.
"""

from ml_collections import ConfigDict

from configs import base


def get_config(variant: str = 'proposed') -> ConfigDict:
  """Every field that the program reads, with the authors' values."""
  return base.make_config('iu_xray.py', variant, {})
