"""EKAGen's captioner: one or more films and expert knowledge in, words out.

Bu et al., "Instance-level expert knowledge and aggregate discriminative
attention for radiology report generation" (CVPR 2024), as hnjzbss/EKAGen
computes it. A student and its teacher are both of this form.
"""

import dataclasses
from typing import Any

import flax.linen as nn
import flax.traverse_util
import jax
import jax.numpy as jnp

from cmn_jax.models.ekagen_layers import (
  EPSILON,
  WORD_EPSILON,
  FilmLayer,
  Films,
  KnowledgeLayer,
  layer_norm,
  places,
)
from cmn_jax.models.encoders import ENCODERS
from cmn_jax.models.film_classifier import build_encoder
from cmn_jax.models.images import Encoded
from cmn_jax.models.layers import Dropout, Linear
from cmn_jax.models.resnet import ResNet
from cmn_jax.models.transformer import empty_cache, heads_first, written_at
from input_pipeline.errors import UserError, check_choice

PAD, START, END = 0, 1, 2
# Ids that are no words: these are numbered first.
SPECIAL = 3
FROZEN = ('none', 'stem', 'all')


@dataclasses.dataclass(frozen=True)
class CaptionerShape:
  """Sizes and rates of a captioner, all of them in the config.

  Attributes:
    vocabulary: words V, with the three ids that are no words.
    encoder: a key of ENCODERS.
    encoder_width: channels of a ResNet's first stage, or of one head of a
      ViT; as published 64 in both.
    dilated: a ResNet's last stage keeps its map's size.
    frozen: of the visual encoder: 'none'; 'stem', as published: a ResNet's
      stem, first stage and all its norms (others train whole); 'all'.
    width: of the Transformer, D.
    heads: attention heads N.
    hidden: width inside the feed-forward layers.
    word_hidden: width of the perceptron that chooses words.
    layers: layers of the encoder and of the decoder.
    dropout: rate.
    patch_dropout: rate on the embedded patches of films; 0 as published.
    max_length: positions T that predict a word each; a report has one id more.
    knowledge: whether knowledge is fused in; a first teacher has none.
    attend_knowledge: words also look at all of the knowledge, as they do at
      films. As published its row t comes to word t alone.
    placed_tokens: films' tokens hold their places. As published these are
      added to queries and keys alone, and no value says where it is from.
  """

  vocabulary: int
  encoder: str = 'resnet101'
  encoder_width: int = 64
  dilated: bool = True
  frozen: str = 'stem'
  width: int = 256
  heads: int = 8
  hidden: int = 2048
  word_hidden: int = 512
  layers: int = 6
  dropout: float = 0.1
  patch_dropout: float = 0.0
  max_length: int = 128
  knowledge: bool = True
  attend_knowledge: bool = False
  placed_tokens: bool = False

  def __post_init__(self):
    check_choice('model.encoder', self.encoder, ENCODERS)
    check_choice('ekagen.frozen', self.frozen, FROZEN)
    if self.width % self.heads or self.width % 4:
      raise UserError(
        f'model.width is {self.width}; it must be divisible by the '
        f'{self.heads} heads, and by 4'
      )


class Captioner(nn.Module):
  """Films and knowledge to log-probabilities of words.

  Attributes:
    shape: sizes and rates.
    axis_name: mapped axis of batch statistics, or None.
    dtype: type of matrix products and convolutions.
    remat: recompute the visual encoder's blocks in the backward pass.
  """

  shape: CaptionerShape
  axis_name: str | None = None
  dtype: Any = jnp.float32
  remat: bool = False
  # Constants, no fields: before the first word, and behind the last.
  start_id, end_id = START, END

  def setup(self):
    s = self.shape
    self.visual_encoder = build_encoder(
      s.encoder,
      {'dilated': s.dilated, 'frozen': s.frozen != 'none'},
      width=s.encoder_width,
      axis_name=self.axis_name,
      dtype=self.dtype,
      remat=self.remat,
    )
    self.patch_embed = Linear(s.width, 'torch', self.dtype)
    self.patch_drop = Dropout(s.patch_dropout)
    start = nn.initializers.xavier_uniform()
    self.word_embed = self.param('word_embed', start, (s.vocabulary, s.width))
    self.positions = self.param('positions', start, (s.max_length, s.width))
    self.word_norm = layer_norm(WORD_EPSILON, self.dtype)
    self.word_drop = Dropout(s.dropout)
    sizes = (s.width, s.heads, s.hidden, s.dropout)
    self.encoder_layers = [
      FilmLayer(*sizes, self.dtype) for _ in range(s.layers)
    ]
    self.decoder_layers = [
      KnowledgeLayer(*sizes, self.dtype, s.knowledge) for _ in range(s.layers)
    ]
    if self._attends:
      self.knowledge_embed = Linear(s.width, 'torch', self.dtype)
    self.encoder_norm = layer_norm(EPSILON, self.dtype)
    self.decoder_norm = layer_norm(EPSILON, self.dtype)
    self.logits = [
      Linear(features, 'torch', self.dtype)
      for features in (s.word_hidden, s.word_hidden, s.vocabulary)
    ]

  def __call__(
    self,
    images_BxIxHxWxC,
    ids_BxT,
    mask_B,
    train: bool,
    mask_BxI=None,
    knowledge_BxTxD=None,
  ):
    """Teacher-forced log-probabilities, (B, T, V); row t predicts id t + 1.

    Args:
      images_BxIxHxWxC: normalised films, float32.
      ids_BxT: [1] + words + [2], then zeros: max_length + 1 of them.
      mask_B: False for padding studies.
      train: dropout on; it needs the 'dropout' key. Norms of the visual
        encoder follow `frozen`.
      mask_BxI: False for films that a study does not have; None for none.
      knowledge_BxTxD: max_length rows, float32; no gradient comes to it.
        None only in a model without knowledge.
    """
    films = self.encode(images_BxIxHxWxC, mask_B, train, mask_BxI)
    return self.decode(ids_BxT[:, :-1], films, knowledge_BxTxD, train)

  def encode(self, images, mask_B, train: bool = False, mask_BxI=None) -> Films:
    """What the decoder sees of normalised films, or of `Encoded` ones."""
    encoded = isinstance(images, Encoded)
    b, i = (images.maps if encoded else images).shape[:2]
    if mask_BxI is None:
      mask_BxI = jnp.ones((b, i), bool)
    # An encoder that is frozen whole has no dropout either.
    frozen = self.shape.frozen == 'all'
    if encoded:
      maps = images.maps.astype(self.dtype)
    else:
      maps = self.visual_encoder(
        images, mask_B[:, None] & mask_BxI, train and not frozen
      )
    if frozen:
      maps = jax.lax.stop_gradient(maps)
    maps = jnp.where(mask_BxI[:, :, None, None, None], maps, 0)
    h, w = maps.shape[2:4]
    places_PxD = jnp.tile(places(h, w, self.shape.width), (i, 1))
    places_PxD = places_PxD.astype(self.dtype)
    mask_Bx1x1xP = jnp.repeat(mask_BxI, h * w, axis=1)[:, None, None]
    x = self.patch_embed(maps.reshape(b, i * h * w, -1))
    if self.shape.placed_tokens:
      x = x + places_PxD
    x = self.patch_drop(x, train)
    for layer in self.encoder_layers:
      x = layer(x, places_PxD, mask_Bx1x1xP, train)
    return Films(self.encoder_norm(x), places_PxD, mask_Bx1x1xP)

  def decode(
    self, ids_BxT, films: Films, knowledge_BxTxD=None, train: bool = False
  ):
    """Log-probabilities of each next id, (B, T, V), given the ones before.

    Inputs that are PAD are hidden from the others.
    """
    length = ids_BxT.shape[1]
    positions_TxD = self.positions[:length].astype(self.dtype)
    films = self._seen(films, knowledge_BxTxD)
    knowledge = self._knowledge(knowledge_BxTxD, length)
    causal_TxT = jnp.tril(jnp.ones((length, length), bool))
    text_mask = (ids_BxT != PAD)[:, None, None, :] & causal_TxT
    x = self.word_drop(self.embed(ids_BxT), train)
    for layer in self.decoder_layers:
      kv = layer.cross_attention.keys_values(
        films.tokens_BxPxD, films.places_PxD
      )
      x = layer(
        x, positions_TxD, text_mask, kv, films.mask_Bx1x1xP, knowledge, train
      )
    return self._log_probs(x)

  def embed(self, ids_BxT):
    """Embedded reports, (B, T, D): what knowledge is made of."""
    x = self._words(ids_BxT) + self.positions[: ids_BxT.shape[1]]
    return self.word_norm(x)

  def start_decoding(
    self, films: Films, beams: int, knowledge_BxTxD=None, length: int = 0
  ):
    """What all steps of decoding share, and an `empty_cache` of K beams.

    Args:
      films: from `encode`.
      beams: K.
      knowledge_BxTxD: of each study; None in a model without.
      length: steps that are taken at most; 0 for max_length.
    """
    s = self.shape
    length = length or s.max_length
    films = self._seen(films, knowledge_BxTxD)
    knowledge = self._knowledge(knowledge_BxTxD, length)
    shared = {
      'films': [
        heads_first(
          *layer.cross_attention.keys_values(
            films.tokens_BxPxD, films.places_PxD
          )
        )
        for layer in self.decoder_layers
      ],
      'mask': films.mask_Bx1x1xP,
      'folded': [
        layer.fold(knowledge) if s.knowledge else None
        for layer in self.decoder_layers
      ],
    }
    b = films.tokens_BxPxD.shape[0]
    size = (b, s.heads, length, beams, s.width // s.heads)
    return shared, empty_cache(s.layers, size, self.dtype)

  def decode_step(self, ids_BxK, position, cache, shared):
    """One word of each beam; whatever was written before is seen, PAD too.

    Args:
      ids_BxK: the ids before.
      position: index of the id that is chosen next, from 0.
      cache: of the ids before.
      shared: from `start_decoding`.

    Returns:
      Log-probabilities (B, K, V), the longer cache, and the last layer's
      attention over the films' tokens, (B, K, P), averaged over heads.
    """
    writers_BxKxT, kept = cache
    writers_BxKxT, seen_Bx1xKxTK = written_at(writers_BxKxT, position)
    query_D = jnp.asarray(self.positions)[position]
    x = self.word_norm(self._words(ids_BxK) + query_D)
    query_D = query_D.astype(self.dtype)
    extended = []
    for layer, old, kv, folded in zip(
      self.decoder_layers, kept, shared['films'], shared['folded'], strict=True
    ):
      x, new, weight = layer.step(
        x, old, position, seen_Bx1xKxTK, query_D, kv, shared['mask'], folded
      )
      extended.append(new)
    cache = (writers_BxKxT, extended)
    if self._attends:
      weight = weight[..., : -self.shape.max_length]
    return self._log_probs(x), cache, jnp.mean(weight, axis=1)

  @property
  def _attends(self) -> bool:
    return self.shape.knowledge and self.shape.attend_knowledge

  def _seen(self, films: Films, knowledge_BxTxD) -> Films:
    """What words look at: films, and behind them knowledge, if attended to."""
    if not self._attends:
      return films
    known = self._knowledge(knowledge_BxTxD, self.shape.max_length)
    positions_TxD = self.positions.astype(self.dtype)
    return films.with_knowledge(self.knowledge_embed(known), positions_TxD)

  def _words(self, ids):
    """Rows of the embedding; the pad's row gets no gradient."""
    x = jnp.asarray(self.word_embed)[ids]
    return jnp.where((ids == PAD)[..., None], jax.lax.stop_gradient(x), x)

  def _knowledge(self, knowledge_BxTxD, length: int):
    if not self.shape.knowledge:
      return None
    if knowledge_BxTxD is None:
      raise ValueError('this captioner was made for knowledge; none was given')
    knowledge = jax.lax.stop_gradient(knowledge_BxTxD[:, :length])
    return knowledge.astype(self.dtype)

  def _log_probs(self, x):
    x = self.decoder_norm(x)
    for layer in self.logits[:-1]:
      x = nn.relu(layer(x))
    logits = self.logits[-1](x).astype(jnp.float32)
    return jax.nn.log_softmax(logits, axis=-1)


def trained_params(shape: CaptionerShape, params) -> Any:
  """Which parameters are trained, as a tree of bools like `params`.

  No gradient comes to the others; decay must not come to them either.
  """
  resnet = getattr(ENCODERS[shape.encoder], 'func', None) is ResNet

  def trained(path):
    if path[0] != 'visual_encoder' or shape.frozen == 'none':
      return True
    if shape.frozen == 'all':
      return False
    constant = path[1] == 'conv1' or path[1].startswith('layer1_')
    norm = path[-2].startswith('bn') or path[-2] == 'downsample_bn'
    return not (resnet and (constant or norm))

  flat = flax.traverse_util.flatten_dict(params)
  return flax.traverse_util.unflatten_dict({k: trained(k) for k in flat})


def frozen_params(shape: CaptionerShape, params) -> list[str]:
  """Paths, with a / between names, of the parameters that are not trained."""
  trained = trained_params(shape, params)
  flat = flax.traverse_util.flatten_dict(trained, sep='/')
  return [path for path, is_trained in flat.items() if not is_trained]
