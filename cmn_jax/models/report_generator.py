"""The report generator: films in, words out, with or without memory."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from cmn_jax.models.alignment import Alignment
from cmn_jax.models.config import ModelConfig
from cmn_jax.models.encoders import ENCODERS
from cmn_jax.models.film_features import Opinion, pooled_films
from cmn_jax.models.images import Encoded, as_pixels, images_of
from cmn_jax.models.layers import Dropout, Linear, dropout_mask, sinusoids
from cmn_jax.models.memory import MemoryQuery
from cmn_jax.models.normalization import LayerNorm
from cmn_jax.models.transformer import (
  DecoderLayer,
  EncoderLayer,
  empty_cache,
  written_at,
)

_PROMPT_DROPOUT = 0.1


class ReportGenerator(nn.Module):
  """R2GenCMN and its two ablations, one or two views from one set of weights.

  Attributes:
    config: sizes and rates.
    axis_name: mapped axis of batch statistics, or None.
  """

  config: ModelConfig
  axis_name: str | None = None

  def setup(self):
    s = self.config
    self.dtype = s.precision
    self.visual_encoder = ENCODERS[s.encoder](
      width=s.encoder_width,
      axis_name=self.axis_name,
      dtype=self.dtype,
      remat=s.remat,
    )
    self.patch_embed = Linear(s.width, 'torch', self.dtype)
    self.patch_drop = Dropout(s.patch_dropout)
    self.position_drop = Dropout(s.dropout)
    self.word_embed = self.param(
      'word_embed', nn.initializers.xavier_uniform(), (s.vocabulary, s.width)
    )
    sizes = (s.width, s.heads, s.hidden, s.dropout, self.dtype)
    self.encoder_layers = [EncoderLayer(*sizes) for _ in range(s.layers)]
    self.decoder_layers = [DecoderLayer(*sizes) for _ in range(s.layers)]
    self.encoder_norm = LayerNorm()
    self.decoder_norm = LayerNorm()
    self.logits = Linear(s.vocabulary, 'torch', self.dtype)
    if s.findings:
      self.findings = Linear(s.findings, 'torch')
    if s.alignment:
      self.alignment = Alignment(s.alignment)
    if s.opinion:
      self.opinion = Opinion(s.opinion)
      # As large as a patch that the encoder's last norm leaves.
      self.prompt_embed = self.param(
        'prompt_embed',
        nn.initializers.normal(1.0),
        (2, s.opinion.classes, s.width),
      )
    self._setup_memory()

  def _setup_memory(self):
    s = self.config
    if s.memory == 'none':
      return
    start = nn.initializers.normal(1.0 / s.width)
    size = (s.memory_slots, s.width)
    query = (s.width, s.heads, s.memory_top_k, s.memory_dropout, self.dtype)
    self.memory = self.param('memory', start, size)
    self.memory_query = MemoryQuery(*query)
    if s.memory == 'separate':
      self.text_memory = self.param('text_memory', start, size)
      self.text_memory_query = MemoryQuery(*query)

  def __call__(self, batch: dict, train: bool = False) -> dict:
    """All that is trained, by name; a head that is not there is left out.

    Args:
      batch: of it are read
        images_BxIxHxW: grey uint8; or normalised, (B, I, H, W, 3); or in
          their place the encoder's maps_BxIxhxwxF, and with prompts the
          findings to state, stated_BxG.
        ids_BxT: [0] + words + [0], then zeros.
        mask_B: False for padding studies, which batch statistics leave out.
        mask_BxI: False for images that a study does not have: nothing depends
          on what is in their place.
      train: dropout and batch statistics on.

    Returns:
      'log_probs', (B, T-1, V), teacher-forced: row t predicts ids[t + 1].
      'findings', (B, findings), logits that read the visual features
      themselves. A finding is present if any patch shows it: a study's logits
      are the soft maximum of its patches'. 'alignment' is what `Alignment`
      returns.
    """
    ids_BxT, mask_BxI = batch['ids_BxT'], batch['mask_BxI']
    images, mask_B = images_of(batch), batch['mask_B']
    features, means = self.visual_features(images, mask_B, train, mask_BxI)
    patches, mask_Bx1x1xP = self.encode_features(features, train, mask_BxI)
    outputs = {}
    if self.config.findings:
      outputs['findings'] = self._findings(features, mask_Bx1x1xP)
    patches, mask_Bx1x1xP = self._with_prompts(
      patches, mask_Bx1x1xP, images, mask_B, mask_BxI, train
    )
    logits = self._decode(ids_BxT[:, :-1], patches, mask_Bx1x1xP, train)
    outputs['log_probs'] = jax.nn.log_softmax(logits, axis=-1)
    if self.config.alignment:
      if self.config.alignment.text == 'report':
        logits = self._decode_blind(ids_BxT[:, :-1], train)
      outputs['alignment'] = self.alignment(
        logits, _real(ids_BxT[:, :-1]), means
      )
    return outputs

  def log_probs(
    self, images, ids_BxT, mask_B, train: bool = False, mask_BxI=None
  ):
    """'log_probs' of `__call__` alone, (B, T-1, V)."""
    patches, mask_Bx1x1xP = self.encode(images, mask_B, train, mask_BxI)
    return self.decode(ids_BxT[:, :-1], patches, mask_Bx1x1xP, train)

  def _findings(self, features_BxPxF, mask_Bx1x1xP):
    real_BxPx1 = mask_Bx1x1xP[:, 0, 0, :, None]
    # A study without any image is masked later, but not if it is NaN.
    real_BxPx1 |= ~jnp.any(real_BxPx1, axis=1, keepdims=True)
    logits = self.findings(features_BxPxF)
    logits = jax.nn.logsumexp(logits, axis=1, where=real_BxPx1)
    return logits - jnp.log(jnp.sum(real_BxPx1, axis=1))

  def find(self, batch: dict) -> jax.Array:
    """'findings' of `__call__` alone."""
    mask_BxI = batch['mask_BxI']
    features, _ = self.visual_features(
      images_of(batch), batch['mask_B'], mask_BxI=mask_BxI
    )
    patches = features.shape[1] // mask_BxI.shape[1]
    mask_BxP = jnp.repeat(mask_BxI, patches, axis=1)
    return self._findings(features, mask_BxP[:, None, None])

  def align(self, batch: dict) -> dict:
    """Unit vectors 'films_BxF' and 'text_BxF', each without the other.

    However the alignment was trained, the decoder sees no film here: a
    report's vector must not know whose it is.
    """
    _, means = self.visual_features(
      images_of(batch), batch['mask_B'], mask_BxI=batch['mask_BxI']
    )
    ids_BxT = batch['ids_BxT']
    logits = self._decode_blind(ids_BxT[:, :-1])
    aligned = self.alignment(logits, _real(ids_BxT[:, :-1]), means)
    return {name: aligned[name] for name in ('films_BxF', 'text_BxF')}

  def visual_features(self, images, mask_B, train: bool = False, mask_BxI=None):
    """Patches of all views, (B, P, F), and each view's mean, (B, I, F).

    Both are zero for images that a study does not have. `images` are as
    `as_pixels` takes them, or `Encoded`.
    """
    encoded = isinstance(images, Encoded)
    b, i = (images.maps if encoded else images).shape[:2]
    if mask_BxI is None:
      mask_BxI = jnp.ones((b, i), bool)
    if encoded:
      maps = images.maps.astype(self.dtype)
    else:
      maps = self.visual_encoder(
        as_pixels(images), mask_B[:, None] & mask_BxI, train
      )
    maps = jnp.where(mask_BxI[:, :, None, None, None], maps, 0)
    means_BxIxF = jnp.mean(maps, axis=(2, 3), dtype=jnp.float32)
    return maps.reshape(b, -1, maps.shape[-1]), means_BxIxF

  def encode(self, images, mask_B, train: bool = False, mask_BxI=None):
    """Encoded patches (B, P, D) and their attention mask (B, 1, 1, P).

    The last of these patches are the prompts, where there are any.
    """
    features, _ = self.visual_features(images, mask_B, train, mask_BxI)
    encoded = self.encode_features(features, train, mask_BxI)
    return self._with_prompts(*encoded, images, mask_B, mask_BxI, train)

  def _with_prompts(self, patches, mask, images, mask_B, mask_BxI, train):
    """As `encode`; a token for each finding says whether it is stated."""
    if not self.config.opinion:
      return patches, mask
    if isinstance(images, Encoded):
      stated_BxG = images.stated.astype(bool)
    else:
      if mask_BxI is None:
        mask_BxI = jnp.ones(images.shape[:2], bool)
      stated_BxG = self.opinion(
        pooled_films(self.visual_encoder, images, mask_B, mask_BxI)
      )
    absent_GxD, present_GxD = self.prompt_embed.astype(patches.dtype)
    tokens = jnp.where(stated_BxG[..., None], present_GxD, absent_GxD)
    shown_BxG = jnp.ones_like(stated_BxG)
    if train:
      # So that films are looked at too, as an opinion may be wrong.
      key = self.make_rng('dropout')
      shown_BxG = dropout_mask(key, _PROMPT_DROPOUT, stated_BxG.shape) > 0
    return (
      jnp.concatenate([patches, tokens], axis=1),
      jnp.concatenate([mask, shown_BxG[:, None, None]], axis=-1),
    )

  def encode_features(self, features_BxPxF, train: bool = False, mask_BxI=None):
    """The part of `encode` after the visual encoder."""
    x = nn.relu(self.patch_embed(features_BxPxF))
    x = self.patch_drop(x, train)
    if self.config.memory != 'none':
      x = x + self.memory_query(x, self.memory, train)
    x = x + sinusoids(x.shape[1], x.shape[2]).astype(x.dtype)
    x = self.position_drop(x, train)
    b, p = x.shape[:2]
    if mask_BxI is None:
      mask_BxI = jnp.ones((b, 1), bool)
    mask_BxP = jnp.repeat(mask_BxI, p // mask_BxI.shape[1], axis=1)
    mask = mask_BxP[:, None, None]
    for layer in self.encoder_layers:
      x = layer(x, mask, train)
    return self.encoder_norm(x), mask

  def decode(self, ids_BxT, patches_BxPxD, mask_Bx1x1xP, train: bool = False):
    """Log-probabilities of each next word, (B, T, V), given the ones before."""
    logits = self._decode(ids_BxT, patches_BxPxD, mask_Bx1x1xP, train)
    return jax.nn.log_softmax(logits, axis=-1)

  def _decode(self, ids_BxT, patches_BxPxD, mask_Bx1x1xP, train: bool):
    """Logits over the vocabulary, float32."""
    states_BxTxD = self.states(ids_BxT, patches_BxPxD, mask_Bx1x1xP, train)
    return self._logits(states_BxTxD)

  def states(self, ids_BxT, patches_BxPxD, mask_Bx1x1xP, train: bool = False):
    """The decoder's last states, (B, T, D), from which words are predicted."""
    length = ids_BxT.shape[1]
    x = self._embed(ids_BxT, jnp.arange(length), train)
    causal_TxT = jnp.tril(jnp.ones((length, length), bool))
    mask = _real(ids_BxT)[:, None, None, :] & causal_TxT
    for layer in self.decoder_layers:
      kv = layer.cross_attention.project(patches_BxPxD)
      x = layer(x, kv, mask, mask_Bx1x1xP, train)
    return self.decoder_norm(x)

  def _decode_blind(self, ids_BxT, train: bool = False):
    """Logits of a decoder that looks at one patch of zeros."""
    batch = ids_BxT.shape[0]
    nothing = jnp.zeros((batch, 1, self.config.width), self.dtype)
    return self._decode(
      ids_BxT, nothing, jnp.ones((batch, 1, 1, 1), bool), train
    )

  def start_decoding(self, patches_BxPxD, mask_Bx1x1xP, beams: int):
    """What all steps of decoding share, and an `empty_cache` of K beams."""
    s = self.config
    shared = {
      'patches': [
        layer.cross_attention.project_heads(patches_BxPxD)
        for layer in self.decoder_layers
      ],
      'mask': mask_Bx1x1xP,
    }
    if s.memory != 'none':
      query, memory = self._text_memory()
      shared['memory'] = query.project(memory)
    b = patches_BxPxD.shape[0]
    size = (b, s.heads, s.max_length, beams, s.width // s.heads)
    return shared, empty_cache(s.layers, size, self.dtype)

  def decode_step(self, ids_BxK, position, cache, shared):
    """One word of each beam.

    Args:
      ids_BxK: the words before.
      position: index of the word that is chosen next.
      cache: of the words before.
      shared: from `start_decoding`.

    Returns:
      Log-probabilities (B, K, V), the longer cache, and the last layer's
      attention over patches without prompts, (B, K, P), averaged over heads.
    """
    writers_BxKxT, kept = cache
    writers_BxKxT, seen_Bx1xKxTK = written_at(writers_BxKxT, position)
    x = self._embed(
      ids_BxK[..., None], jnp.asarray(position)[None], False, shared
    )[:, :, 0]
    extended = []
    for layer, old, kv in zip(
      self.decoder_layers, kept, shared['patches'], strict=True
    ):
      x, new, weight = layer.step(
        x, old, position, seen_Bx1xKxTK, kv, shared['mask']
      )
      extended.append(new)
    logits = self._logits(self.decoder_norm(x))
    log_probs = jax.nn.log_softmax(logits, axis=-1)
    prompts = self.config.opinion.classes if self.config.opinion else 0
    seen_BxKxP = jnp.mean(weight, axis=1)[..., : weight.shape[-1] - prompts]
    return log_probs, (writers_BxKxT, extended), seen_BxKxP

  def _embed(self, ids, positions_T, train: bool, shared=None):
    """Words (..., T) to (..., T, D), positions and memory response added."""
    s = self.config
    x = self.word_embed[ids] * math.sqrt(s.width)
    table = jnp.asarray(sinusoids(s.max_length, s.width))
    x = (x + table[positions_T]).astype(self.dtype)
    x = self.position_drop(x, train)
    if s.memory == 'none':
      return x
    query, memory = self._text_memory()
    slots = query.project(memory) if shared is None else shared['memory']
    flat = x.reshape(-1, *x.shape[-2:])
    return x + query.respond(flat, *slots, train).reshape(x.shape)

  def _text_memory(self):
    """The memory that words query, and how they do it."""
    if self.config.memory == 'separate':
      return self.text_memory_query, self.text_memory
    return self.memory_query, self.memory

  def _logits(self, states):
    return self.logits(states).astype(jnp.float32)


def _real(ids_BxT):
  """Inputs that are no padding: all words, and the 0 that begins a report."""
  return (ids_BxT > 0) | (jnp.arange(ids_BxT.shape[1]) == 0)
