"""Films as the networks take them."""

import jax.numpy as jnp

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def normalise_films(films_BxIxHxW):
  """Grey uint8 films to ImageNet-normalised float32, (B, I, H, W, 3)."""
  x = films_BxIxHxW[..., None].astype(jnp.float32) / 255.0
  return (x - jnp.array(IMAGENET_MEAN)) / jnp.array(IMAGENET_STD)
