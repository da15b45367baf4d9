"""Visual encoders by name, all with one interface.

`ENCODERS[name](width=..., axis_name=..., dtype=..., remat=...)` is a module of
(images_BxIxHxWxC, mask_BxI, train) to feature maps (B, I, h, w, F).
"""

from functools import partial

from cmn_jax.models.efficientnet import EFFICIENTNETS, EfficientNet
from cmn_jax.models.resnet import RESNETS, ResNet
from cmn_jax.models.swin import Swin
from cmn_jax.models.vit import ViT

ENCODERS = {
  **{
    name: partial(ResNet, block, stage_sizes)
    for name, (block, stage_sizes) in RESNETS.items()
  },
  **{
    name: partial(EfficientNet, stages)
    for name, stages in EFFICIENTNETS.items()
  },
  'vit_b16': partial(ViT, layers=12, heads=12, patch=16),
  'swin_t': partial(Swin, stage_sizes=(2, 2, 6, 2), heads=3),
}
