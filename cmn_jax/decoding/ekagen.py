"""Writing with EKAGen's captioner, in one compiled loop.

The films are encoded and the knowledge folded once; beam search stops when
the last report has ended. The authors' own decoding, which never stops, is a
switch.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from cmn_jax.decoding.beam_search import attention_while_writing, beam_search

# Theirs throws the last of 127 words away; ours fills the buffer.
MAX_WORDS = 127


def greedy_without_stop(step, cache, batch: int, length: int, start: int):
  """The best id at each of `length` positions, whatever came before.

  Args:
    step: (ids_BxK, position, cache) -> (log_probs_BxKxV, cache), K = 1.
    cache: as `beam_search` takes it.
    batch: studies B.
    length: ids to write, T.
    start: the id before the first.

  Returns:
    ids (B, T), and their sums of log-probabilities (B,).
  """

  def extend(carry, position):
    ids_Bx1, sums_B, cache = carry
    log_probs_Bx1xV, cache = step(ids_Bx1, position, cache)
    ids_Bx1 = jnp.argmax(log_probs_Bx1xV, axis=-1).astype(jnp.int32)
    sums_B += jnp.max(log_probs_Bx1xV, axis=-1)[:, 0]
    return (ids_Bx1, sums_B, cache), ids_Bx1[:, 0]

  first = jnp.full((batch, 1), start, jnp.int32)
  carry = (first, jnp.zeros(batch), cache)
  (_, sums_B, _), ids_TxB = jax.lax.scan(extend, carry, jnp.arange(length))
  return ids_TxB.T, sums_B


def make_film_writer(
  beams: int, max_words: int, stop_at_end: bool = True
) -> Callable:
  """As `make_writer`, of films that are encoded already.

  Returns:
    (captioner, films, mask_B, knowledge_BxTxD) -> (ids, log-probabilities),
    to be called within a bound captioner.

  Raises:
    ValueError: no beam, or more than one without a stop.
  """
  if beams < 1 or (beams > 1 and not stop_at_end):
    raise ValueError(
      f'decode.beam_size is {beams}; at least 1, and 1 where '
      'ekagen.stop_at_end is False'
    )

  def write(captioner, films, mask_B, knowledge_BxTxD):
    shared, cache = captioner.start_decoding(
      films, beams, knowledge_BxTxD, max_words
    )

    def step(ids_BxK, position, cache):
      return captioner.decode_step(ids_BxK, position, cache, shared)[:2]

    if stop_at_end:
      ends = captioner.start_id, captioner.end_id
      return beam_search(step, cache, mask_B, beams, max_words, *ends)
    batch = mask_B.shape[0]
    return greedy_without_stop(
      step, cache, batch, max_words, captioner.start_id
    )

  return write


def attention_of_ids(captioner, films, ids_BxT, knowledge_BxTxD):
  """What the last layer looked at when it chose each id, (B, T, P).

  To be called within a bound captioner.

  Args:
    captioner: bound.
    films: of its `encode`.
    ids_BxT: as written, without the 1.
    knowledge_BxTxD: of each study; None in a model without.
  """
  length = ids_BxT.shape[1]
  start = captioner.start_decoding(films, 1, knowledge_BxTxD, length)
  return attention_while_writing(captioner, *start, ids_BxT, captioner.start_id)


def make_writer(
  model,
  beams: int = 1,
  max_words: int = MAX_WORDS,
  stop_at_end: bool = True,
) -> Callable:
  """A function that writes reports; greedy where there is one beam.

  Args:
    model: a Captioner.
    beams: of a study, K.
    max_words: ids to write at most, T; the one that ends a report counts.
    stop_at_end: False for the authors' decoding, which goes on after the end;
      with one beam alone.

  Returns:
    (variables, images_BxIxHxWxC, mask_B, mask_BxI, knowledge_BxTxD) ->
    (ids (B, T), their log-probabilities (B,)). After the 2 that ends a report
    there are zeros, but where decoding does not stop. mask_BxI and knowledge
    may be None: where all films are there, in a model without knowledge.

  Raises:
    ValueError: more words than the model has positions for, no beam, or more
      than one without a stop.
  """
  positions = model.shape.max_length
  if not 1 <= max_words <= positions:
    raise ValueError(
      f'ekagen.max_words is {max_words}; it must be between 1 and {positions}'
    )
  write_films = make_film_writer(beams, max_words, stop_at_end)

  def write(module, images_BxIxHxWxC, mask_B, mask_BxI, knowledge_BxTxD):
    films = module.encode(images_BxIxHxWxC, mask_B, mask_BxI=mask_BxI)
    return write_films(module, films, mask_B, knowledge_BxTxD)

  def run(
    variables, images_BxIxHxWxC, mask_B, mask_BxI=None, knowledge_BxTxD=None
  ):
    return model.apply(
      variables,
      images_BxIxHxWxC,
      mask_B,
      mask_BxI,
      knowledge_BxTxD,
      method=write,
    )

  return run
