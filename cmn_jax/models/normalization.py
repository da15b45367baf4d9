"""Normalisation layers that follow torch and the R2GenCMN authors."""

import flax.linen as nn
import jax
import jax.numpy as jnp


class BatchNorm(nn.Module):
  """Batch normalisation of films, view by view, as torch computes it.

  Each view is normalised with its own batch's statistics and updates the
  running ones in turn, as if the views went through the encoder one after
  the other. Padding and absent films (mask False) take no part. The running
  variance takes the unbiased estimate, with torch's momentum of 0.1.

  Attributes:
    axis_name: mapped axis over which the statistics are shared, or None.
    momentum: weight of the newest statistics in the running ones.
    epsilon: added to the variance.
    frozen: scale, bias and running statistics are constants, in training too.
  """

  axis_name: str | None = None
  momentum: float = 0.1
  epsilon: float = 1e-5
  frozen: bool = False

  @nn.compact
  def __call__(self, x_BIxHxWxC, mask_BxI, train: bool):
    """Normalises (B * I, H, W, C); statistics are float32 throughout."""
    channels = x_BIxHxWxC.shape[-1]
    scale_C = self.param('scale', nn.initializers.ones, (channels,))
    bias_C = self.param('bias', nn.initializers.zeros, (channels,))
    running_mean = self.variable('batch_stats', 'mean', jnp.zeros, (channels,))
    running_var = self.variable('batch_stats', 'var', jnp.ones, (channels,))
    if self.frozen:
      scale_C, bias_C = jax.lax.stop_gradient((scale_C, bias_C))
    if not train or self.frozen:
      factor_C = scale_C * jax.lax.rsqrt(running_var.value + self.epsilon)
      shift_C = bias_C - running_mean.value * factor_C
      y = x_BIxHxWxC.astype(jnp.float32) * factor_C + shift_C
      return y.astype(x_BIxHxWxC.dtype)

    b, i = mask_BxI.shape
    x = x_BIxHxWxC.reshape(b, i, *x_BIxHxWxC.shape[1:])
    mean_IxC, var_IxC, count_I = _statistics(x, mask_BxI, self.axis_name)
    if not self.is_initializing():
      for view in range(i):
        self._update(
          running_mean, running_var, mean_IxC, var_IxC, count_I, view
        )
    factor_IxC = scale_C[None] * jax.lax.rsqrt(var_IxC + self.epsilon)
    # Without any film of a view there is no variance: what stands there
    # must not grow from layer to layer beyond all numbers.
    factor_IxC = jnp.where(count_I[:, None] > 0, factor_IxC, 0)
    shift_IxC = bias_C[None] - mean_IxC * factor_IxC
    y = (
      x.astype(jnp.float32) * factor_IxC[None, :, None, None]
      + shift_IxC[None, :, None, None]
    )
    return y.astype(x_BIxHxWxC.dtype).reshape(x_BIxHxWxC.shape)

  def _update(self, running_mean, running_var, mean, var, count, view):
    """Moves the running statistics towards those of one view."""
    unbiased_C = var[view] * count[view] / jnp.maximum(count[view] - 1, 1)
    # A view of which the whole batch has no film leaves them alone.
    rate = jnp.where(count[view] > 0, self.momentum, 0.0)
    running_mean.value += rate * (mean[view] - running_mean.value)
    running_var.value += rate * (unbiased_C - running_var.value)


def _statistics(x_BxIxHxWxC, mask_BxI, axis_name):
  """Mean and biased variance (I, C), and values counted (I,), of a view."""
  x = x_BxIxHxWxC.astype(jnp.float32)
  weight = mask_BxI.astype(jnp.float32)[:, :, None, None, None]
  pixels = x.shape[2] * x.shape[3]
  sums = (
    jnp.sum(x * weight, axis=(0, 2, 3)),
    jnp.sum(jnp.square(x) * weight, axis=(0, 2, 3)),
    jnp.sum(mask_BxI, axis=0) * float(pixels),
  )
  if axis_name is not None:
    sums = jax.lax.psum(sums, axis_name)
  sum_IxC, square_IxC, count_I = sums
  count = jnp.maximum(count_I, 1.0)[:, None]
  mean_IxC = sum_IxC / count
  var_IxC = jnp.maximum(square_IxC / count - jnp.square(mean_IxC), 0.0)
  return mean_IxC, var_IxC, count_I


class LayerNorm(nn.Module):
  """The layer norm of the Annotated Transformer, which R2GenCMN uses.

  Divides by the unbiased standard deviation plus epsilon, where the usual
  one divides by the root of the biased variance plus epsilon.
  """

  epsilon: float = 1e-6

  @nn.compact
  def __call__(self, x_BxTxD):
    width = x_BxTxD.shape[-1]
    scale_D = self.param('scale', nn.initializers.ones, (width,))
    bias_D = self.param('bias', nn.initializers.zeros, (width,))
    x = x_BxTxD.astype(jnp.float32)
    centred = x - jnp.mean(x, axis=-1, keepdims=True)
    variance = jnp.sum(jnp.square(centred), -1, keepdims=True) / (width - 1)
    # The gradient of the root at 0 is infinite: a constant row stays finite.
    deviation = jnp.sqrt(jnp.maximum(variance, 1e-24))
    y = scale_D * centred / (deviation + self.epsilon) + bias_D
    return y.astype(x_BxTxD.dtype)
