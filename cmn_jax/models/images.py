"""X-ray images as the networks take them."""

from collections.abc import Mapping

import flax
import jax
import jax.numpy as jnp

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def normalise_images(images_BxIxHxW: jax.Array) -> jax.Array:
  """Grey uint8 images to ImageNet-normalised float32, (B, I, H, W, 3)."""
  x = images_BxIxHxW[..., None].astype(jnp.float32) / 255.0
  return (x - jnp.array(IMAGENET_MEAN)) / jnp.array(IMAGENET_STD)


@flax.struct.dataclass
class Encoded:
  """Images that a frozen encoder has seen already, in place of them.

  Attributes:
    maps: its feature maps, (B, I, h, w, F).
    stated: findings to prompt with, (B, G); None where nothing is prompted.
  """

  maps: jax.Array
  stated: jax.Array | None = None


def images_of(batch: Mapping[str, jax.Array]) -> jax.Array | Encoded:
  """What a network sees of a batch: images, or an encoder's maps of them."""
  if 'maps_BxIxhxwxF' in batch:
    return Encoded(batch['maps_BxIxhxwxF'], batch.get('stated_BxG'))
  return batch['images_BxIxHxW']


def as_pixels(images: jax.Array) -> jax.Array:
  """Normalised pixels, (B, I, H, W, 3).

  Args:
    images: grey uint8 (B, I, H, W), or already normalised float32
      (B, I, H, W, 3), which stay as they are.
  """
  return normalise_images(images) if images.ndim == 4 else images
