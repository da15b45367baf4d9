"""EKAGen's aggregate discriminative attention: where a classifier looks.

A locator's Grad-CAM of each class it finds, joined to one mask for a film,
outside of which the film is dimmed. As the locator ends in a mean and a linear
layer, a class's gradient is the same at every place, and nothing need be
differentiated.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from cmn_jax.models.ekagen_names import PEAK_SHARE, RULES, THRESHOLD
from input_pipeline.errors import check_choice

# Levels of 255 at which a channel of OpenCV's JET is above 0.6. The very peak
# is dark red, and so is not among them.
_JET_LEVELS = (7, 248)
_DILATION = 5
# Of the authors: share of a film that a mask must exceed to be used, and what
# is left of the light outside of it.
COMPAT_MIN_COVER, DIMMED = 0.4, 0.4
# The gradient of a probability fades where it is near 0 or 1: beyond this logit
# a class's map, which is scaled to 1 anyway, would be lost to rounding.
_SURE = 7.0


def class_gradients(logits_BxG, kernel_FxG, places: int):
  """Gradient of each class's probability by a map's values, (B, G, F).

  Args:
    logits_BxG: of a classifier that takes the mean of its map.
    kernel_FxG: of its last layer.
    places: of the map, h * w.
  """
  p_BxG = jax.nn.sigmoid(logits_BxG)
  return (p_BxG * (1 - p_BxG))[..., None] * kernel_FxG.T / places


def class_maps(map_BxhxwxF, gradients_BxGxF, size: tuple[int, int]):
  """Grad-CAM of each class, (B, G, H, W), 0 to 1.

  Args:
    map_BxhxwxF: the locator's last feature map.
    gradients_BxGxF: of the classes' probabilities, means over places.
    size: of the film, H and W.
  """
  maps = jnp.einsum('bhwf,bgf->bghw', map_BxhxwxF, gradients_BxGxF)
  maps = _to_unit_range(jax.nn.relu(maps))
  # Half-pixel centres, edges repeated: as OpenCV and torch resize.
  maps = jax.image.resize(maps, (*maps.shape[:2], *size), 'linear')
  return _to_unit_range(maps)


def _to_unit_range(maps):
  maps = maps - jnp.min(maps, axis=(2, 3), keepdims=True)
  return maps / (1e-7 + jnp.max(maps, axis=(2, 3), keepdims=True))


def attention_mask(
  maps_BxGxHxW, present_BxG, rule: str, threshold: float = PEAK_SHARE
):
  """The mask of each film, bool (B, H, W).

  Args:
    maps_BxGxHxW: from `class_maps`.
    present_BxG: True for the classes that were found; without any, or with
      maps of zeros alone, nothing is on.
    rule: 'jet', as the authors have it: where a colour map is bright, then
      dilated by 5 x 5 pixels; or 'threshold': where a map is above it.
    threshold: of the rule 'threshold'.

  Raises:
    UserError: another rule.
  """
  check_choice('ekagen.mask_rule', rule, RULES)
  present = jnp.asarray(present_BxG)[..., None, None]
  if rule == THRESHOLD:
    return jnp.any(present & (maps_BxGxHxW > threshold), axis=1)
  level = jnp.floor(255 * maps_BxGxHxW)
  on = (level >= _JET_LEVELS[0]) & (level <= _JET_LEVELS[1])
  on_BxHxW = jnp.any(present & on, axis=1)
  return jax.lax.reduce_window(
    on_BxHxW,
    False,
    jax.lax.bitwise_or,
    (1, _DILATION, _DILATION),
    (1, 1, 1),
    'SAME',
  )


def class_masks(
  map_BxhxwxF,
  logits_BxG,
  kernel_FxG,
  thresholds_G,
  size: tuple[int, int],
  rule: str,
  threshold: float = PEAK_SHARE,
  left_out: Sequence[int] = (),
):
  """Each class's own mask of what a locator says of films, bool (B, G, H, W).

  Joined they are `attention_mask` of all classes at once.

  Args:
    map_BxhxwxF: its last feature map.
    logits_BxG: its logits.
    kernel_FxG: of its last layer.
    thresholds_G: probabilities above which a class is present.
    size: of the mask, H and W.
    rule: see `attention_mask`.
    threshold: of the rule 'threshold'.
    left_out: indices of classes that show no place (No Finding).
  """
  places = map_BxhxwxF.shape[1] * map_BxhxwxF.shape[2]
  unsaturated_BxG = jnp.clip(logits_BxG, -_SURE, _SURE)
  maps = class_maps(
    map_BxhxwxF, class_gradients(unsaturated_BxG, kernel_FxG, places), size
  )
  present = jax.nn.sigmoid(logits_BxG) > jnp.asarray(thresholds_G)
  kept = np.ones(logits_BxG.shape[1], bool)
  kept[list(left_out)] = False
  alone = maps.reshape(-1, 1, *size)
  masks = attention_mask(
    alone, (present & kept).reshape(-1, 1), rule, threshold
  )
  return masks.reshape(maps.shape)


def dim_outside(films_xHxW, masks_xHxW, min_cover: float = 0.0):
  """Films with what lies outside their masks dimmed, rounded down, uint8.

  Args:
    films_xHxW: grey films, uint8.
    masks_xHxW: bool.
    min_cover: share of the film; a mask that covers no more is not used. With
      0 an empty mask darkens nothing.
  """
  # A table, as float32 would round 0.4 * 5 to either side of 2.
  dimmed = jnp.asarray(np.floor(np.arange(256) * DIMMED).astype(np.uint8))
  pixels = masks_xHxW.shape[-2] * masks_xHxW.shape[-1]
  covered = jnp.sum(masks_xHxW, axis=(-2, -1), keepdims=True)
  lit = masks_xHxW | (covered <= min_cover * pixels)
  return jnp.where(lit, films_xHxW, dimmed[films_xHxW])
