"""EKAGen's training films: masks cut as their films were, turns and light.

On the device, as each film of a study is drawn twice: for student and teacher.
"""

import jax
import jax.numpy as jnp
import numpy as np

from cmn_jax.models.attention_masks import dim_outside
from cmn_jax.models.film_classifier import first_films

# torchvision's ColorJitter as the authors set it, on grey films.
BRIGHTNESS, CONTRAST = (0.5, 1.3), (0.8, 1.5)


def cut_masks(masks_BxHxW, box_Bx4, flip_B):
  """Masks of whole films as their films were cut, resized and mirrored.

  Args:
    masks_BxHxW: bool.
    box_Bx4: y0, x0, y1, x1 of what was cut, as shares of the film.
    flip_B: True where the film was mirrored after that.

  Returns:
    (B, H, W) bool, each pixel as the nearest one of the cut part.
  """
  height, width = masks_BxHxW.shape[1:]

  def cut(mask_HxW, box_4, flip):
    y0, x0, y1, x1 = box_4
    rows = y0 + (jnp.arange(height) + 0.5) / height * (y1 - y0)
    columns = x0 + (jnp.arange(width) + 0.5) / width * (x1 - x0)
    rows, columns = (
      jnp.clip((share * side).astype(jnp.int32), 0, side - 1)
      for share, side in ((rows, height), (columns, width))
    )
    columns = jnp.where(flip, columns[::-1], columns)
    return mask_HxW[rows[:, None], columns]

  return jax.vmap(cut)(masks_BxHxW, box_Bx4, flip_B)


def dim_first(images_BxIxHxW, mask_BxI, masks_BxHxW, min_cover: float):
  """Studies whose first film is dimmed outside its mask.

  Args:
    images_BxIxHxW: grey films, uint8.
    mask_BxI: False for films that a study does not have.
    masks_BxHxW: of the first film that is there.
    min_cover: see `dim_outside`.
  """
  first_BxHxW = first_films(images_BxIxHxW, mask_BxI)
  dimmed_BxHxW = dim_outside(first_BxHxW, masks_BxHxW, min_cover)
  first_BxI = jax.nn.one_hot(
    jnp.argmax(mask_BxI, axis=1), mask_BxI.shape[1], dtype=bool
  )
  return jnp.where(
    first_BxI[..., None, None], dimmed_BxHxW[:, None], images_BxIxHxW
  )


def unpacked(bits_BxHxw, width: int):
  """Masks (B, H, W) bool of bits packed along their rows."""
  # Those of a whole split stay on the host.
  xp = np if isinstance(bits_BxHxw, np.ndarray) else jnp
  return xp.unpackbits(bits_BxHxw, axis=-1, count=width).astype(bool)


def redrawn(
  key: jax.Array, films_BxIxHxW, quarter_turns: bool, flip: bool, light: bool
):
  """Each film turned, lit and mirrored by a draw of its own; square, uint8.

  Args:
    key: of all draws.
    films_BxIxHxW: uint8.
    quarter_turns: by 0, 90, 180 or 270 degrees, each as likely.
    flip: half of them, left and right.
    light: brightness and contrast, in either order.
  """
  keys, films = jax.random.split(key, 5), films_BxIxHxW
  shape = films.shape[:2]

  def each(values_BxI):
    return values_BxI[..., None, None]

  if quarter_turns:
    turns_BxI = jax.random.randint(keys[0], shape, 0, 4)
    for turns in (1, 2, 3):
      turned = jnp.rot90(films_BxIxHxW, turns, axes=(2, 3))
      films = jnp.where(each(turns_BxI == turns), turned, films)
  if light:
    bright_BxI = jax.random.uniform(
      keys[1], shape, minval=BRIGHTNESS[0], maxval=BRIGHTNESS[1]
    )
    steep_BxI = jax.random.uniform(
      keys[2], shape, minval=CONTRAST[0], maxval=CONTRAST[1]
    )
    first_BxI = jax.random.bernoulli(keys[3], shape=shape)
    films = _lit(films, each(bright_BxI), each(steep_BxI), each(first_BxI))
  if flip:
    flip_BxI = jax.random.bernoulli(keys[4], shape=shape)
    films = jnp.where(each(flip_BxI), films[..., ::-1], films)
  return films


def _lit(films, bright, steep, bright_first):
  def clipped(x):
    return jnp.clip(x, 0, 255)

  def brightened(x):
    return clipped(bright * x)

  def steepened(x):
    mean = jnp.mean(x, axis=(2, 3), keepdims=True)
    return clipped(mean + steep * (x - mean))

  x = films.astype(jnp.float32)
  x = jnp.where(
    bright_first, steepened(brightened(x)), brightened(steepened(x))
  )
  return jnp.round(x).astype(jnp.uint8)
