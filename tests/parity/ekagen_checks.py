"""Checks of our EKAGen against the authors' code, each gives rows."""

import functools
import tempfile
from pathlib import Path

import jax
import numpy as np
import torch

from benchmarks import ekagen_authors as authors
from cmn_jax.decoding.ekagen import make_writer
from cmn_jax.interop.ekagen import (
  captioner_rows,
  from_captioner,
  join_packed,
  split_packed,
  to_captioner,
)
from cmn_jax.interop.files import read_pth, tensors_of, write_pth
from cmn_jax.interop.names import to_state_dict
from cmn_jax.losses.distillation import distillation_loss, word_loss
from cmn_jax.models.ekagen import Captioner
from tests.parity import ekagen_draw as drawn
from tests.parity.results import Row, at_most, for_scale, none_of

SEED = 11
DELTA = 0.01
# So much of the log-probability of the end that some reports end.
END_BIAS = {'small': 1.0, 'published': 1.5}
# Of the last layer: at full depth float32 is too coarse for louder words.
LOUDNESS = {'small': 1.0, 'published': 0.25}
# Arrays from the films' end to the words', whose gradients are shown.
NAMED = (
  'backbone.0.body.layer2.0.conv1.weight',
  'backbone.0.body.layer4.2.conv2.weight',
  'input_proj.weight',
  'transformer.encoder.layers.0.self_attn.query.weight',
  'transformer.embeddings.word_embeddings.weight',
  'transformer.embeddings.position_embeddings.weight',
  'transformer.decoder.layers.1.multihead_attn.value.weight',
  'transformer.decoder.fc2.0.weight',
  'transformer.decoder.fc3.1.weight',
  'mlp.layers.2.weight',
)


@functools.cache
def pair(name: str):
  """Their captioner, ours, our variables, and the drawn knowledge."""
  size = drawn.sizes()[name]
  model = Captioner(size.shape)
  tensors = drawn.draw_captioner(size.shape, SEED, END_BIAS[name])
  tensors['mlp.layers.2.weight'] *= LOUDNESS[name]
  films = drawn.films(8, size.image, SEED + 1)
  packed = join_packed(drawn.centre(model, tensors, films))
  knowledge = drawn.knowledge(64, size.shape, SEED + 2)
  theirs = authors.build_captioner(size.shape, knowledge)
  theirs.load_state_dict({k: torch.from_numpy(v) for k, v in packed.items()})
  return theirs, model, from_captioner(model, packed, 'drawn'), knowledge


def _inputs(name: str, studies: int):
  size = drawn.sizes()[name]
  films = drawn.films(studies, size.image, SEED + 1)
  return films, drawn.ids(studies, size.shape, SEED + 3)


def _on(name: str, studies: int) -> str:
  return f'{name} size, {studies} studies'


@functools.cache
def our_log_probs(model: Captioner):
  def log_probs(variables, films, ids, knowledge):
    mask_B = np.ones(len(films), bool)
    return model.apply(
      variables, films, ids, mask_B, False, knowledge_BxTxD=knowledge
    )

  return jax.jit(log_probs)


def log_probs(name: str) -> list[Row]:
  """Teacher-forced log-probabilities, and what films and knowledge do."""
  studies = drawn.sizes()[name].studies
  theirs, model, variables, knowledge = pair(name)
  films, ids = _inputs(name, studies)
  want = their_log_probs(theirs, films, ids)
  exact = their_log_probs(theirs.double(), films, ids)
  theirs.float()
  ours = our_log_probs(model)
  got = np.asarray(ours(variables, films, ids, knowledge[:studies]))
  on = _on(name, studies)
  error, theirs_own, to_exact = (
    np.abs(a - b).max() for a, b in ((got, want), (want, exact), (got, exact))
  )
  rows = [
    at_most('log-probabilities', on, error, 1e-4),
    for_scale('theirs in float32 and in float64', on, f'{theirs_own:.1e}'),
    for_scale('ours, and theirs in float64', on, f'{to_exact:.1e}'),
  ]
  for what, moved in (
    ('films', (films[::-1], ids, knowledge[:studies])),
    ('knowledge', (films, ids, knowledge[:studies][::-1])),
  ):
    change = np.abs(np.asarray(ours(variables, *moved)) - got).mean()
    rows.append(for_scale(f"another study's {what}", on, f'{change:.1e}'))
  return rows


def losses(name: str) -> list[Row]:
  """Cross-entropy and distillation, with pads and without."""
  shape, studies = drawn.sizes()[name].shape, 8
  ids = drawn.ids(studies, shape, SEED + 3)
  draw = np.random.RandomState(SEED)
  student, teacher = (
    draw.standard_normal((studies, shape.max_length, shape.vocabulary)).astype(
      np.float32
    )
    * 3
    for _ in range(2)
  )
  ones = np.ones(studies, bool)
  on, rows = _on(name, studies), []
  for pads in (True, False):
    z, t = torch.from_numpy(student), torch.from_numpy(teacher)
    if pads:
      want = authors.losses(z, t, ids)
    else:  # Theirs has no such switch: torch's own, of the rows that count.
      target = torch.from_numpy(ids[:, 1:].astype(np.int64))
      words = torch.nn.functional.cross_entropy(
        z.permute(0, 2, 1), target, ignore_index=0
      )
      real = target != 0
      kept = authors.distillation(z[real][None], t[real][None]) / studies
      want = words, kept
    got = (
      word_loss(jax.nn.log_softmax(student), ids, ones, pads),
      distillation_loss(student, teacher, ids, ones, pads),
    )
    which = 'with pads' if pads else 'without pads'
    for what, a, b in zip(('CE', 'KD'), got, want, strict=True):
      error = abs(float(a[0] / a[1]) / float(b) - 1)
      rows.append(at_most(f'{what} {which}, relative', on, error, 1e-5))
  return rows


def gradients(name: str) -> list[Row]:
  """Gradients of CE + 0.01 KD, of all arrays and of ten by name."""
  asked = gradient_inputs(name)
  theirs, *ours = pair(name)
  want, got = their_gradients(theirs, *asked), our_gradients(*ours, *asked)
  exact = their_gradients(theirs.double(), *asked)
  theirs.float()
  errors = gradient_errors(got, want)
  frozen = max(np.abs(got[k]).max() for k in got.keys() - want.keys())
  on = _on(name, len(asked[0]))
  rows = [at_most(f'gradient of {k}', on, errors[k], 1e-3) for k in NAMED]
  rows.append(at_most('gradient of what is frozen', on, frozen, 0))
  worst = max(errors, key=errors.get)
  rows.append(
    for_scale(
      f'worst of {len(want)} gradients ({worst})', on, f'{errors[worst]:.1e}'
    )
  )
  for what, found in (('their float32', want), ('our float32', got)):
    errors = gradient_errors(found, exact)
    worst = max(errors[k] for k in NAMED)
    rows.append(
      for_scale(
        f'{what} against their float64, worst of the ten', on, f'{worst:.1e}'
      )
    )
  return rows


def gradient_inputs(name: str):
  """Films, reports and a teacher's logits."""
  studies, shape = 4 if name == 'small' else 2, drawn.sizes()[name].shape
  teacher = np.random.RandomState(SEED).standard_normal(
    (studies, shape.max_length, shape.vocabulary)
  )
  return *_inputs(name, studies), teacher.astype(np.float32) * 2


def gradient_errors(got: dict, want: dict) -> dict[str, float]:
  """Of each array of `want`, relative; to no less than 1e-7 of all of them."""
  norm = np.sqrt(sum(np.sum(np.square(g)) for g in want.values()))
  return {
    k: np.linalg.norm(got[k] - want[k])
    / max(np.linalg.norm(want[k]), 1e-7 * norm)
    for k in want
  }


def our_gradients(
  model: Captioner, variables, knowledge, films, ids, teacher
) -> dict[str, np.ndarray]:
  """Of our loss, by their names, packed matrices split."""
  mask_B = np.ones(len(films), bool)

  def loss(params):
    found = model.apply(
      {**variables, 'params': params},
      films,
      ids,
      mask_B,
      True,
      knowledge_BxTxD=knowledge[: len(films)],
    )
    words = word_loss(found, ids, mask_B, True)
    kept = distillation_loss(found, teacher, ids, mask_B, True)
    return words[0] / words[1] + DELTA * kept[0] / kept[1]

  table = [
    row for row in captioner_rows(model.shape) if row.ours.startswith('params')
  ]
  gradient = jax.jit(jax.grad(loss))(variables['params'])
  return to_state_dict(table, {'params': gradient})


def their_gradients(theirs, films, ids, teacher) -> dict[str, np.ndarray]:
  """Of their loss, packed matrices split; in the model's own precision."""
  theirs.zero_grad()
  logits = _their_logits(theirs, films, ids)
  words, kept = authors.losses(
    logits, torch.from_numpy(teacher).to(logits.dtype), ids
  )
  (words + DELTA * kept).backward()
  found = {
    k: p.grad.numpy().copy()
    for k, p in theirs.named_parameters()
    if p.grad is not None
  }
  theirs.zero_grad()
  return split_packed(found)


def their_log_probs(theirs, films, ids) -> np.ndarray:
  """In the model's own precision."""
  with torch.no_grad():
    return torch.log_softmax(_their_logits(theirs, films, ids), -1).numpy()


def _their_logits(theirs, films, ids):
  dtype = next(theirs.parameters()).dtype
  nested = authors.films_for(films)
  nested.tensors = nested.tensors.to(dtype)
  base = theirs.transformer.knowledge_prompt
  theirs.transformer.knowledge_prompt = {
    k: v.to(dtype) for k, v in base.items()
  }
  logits = authors.logits(theirs, nested, ids, range(len(ids)))
  theirs.transformer.knowledge_prompt = base
  return logits


def writing(name: str, studies: int, literal: bool, batch: int) -> list[Row]:
  """Greedy ids without a stop, and with one; `literal`: nothing shared."""
  theirs, model, variables, knowledge = pair(name)
  films, _ = _inputs(name, studies)
  words = model.shape.max_length - 2
  ours = [jax.jit(make_writer(model, 1, words, stop)) for stop in (False, True)]
  if not literal:
    authors.share_encoding(theirs)
  counts, ended, differing, after = [], 0, 0, 0
  for start in range(0, studies, batch):
    part = slice(start, start + batch)
    rows = range(*part.indices(studies))
    want = authors.write(theirs, authors.films_for(films[part]), rows, words)
    mask_B = np.ones(len(want), bool)
    got, stopped = (
      np.asarray(
        write(variables, films[part], mask_B, None, knowledge[part])[0]
      )
      for write in ours
    )
    differing += int((got != want).sum())
    end = np.cumsum(want == 2, axis=1) - (want == 2) > 0
    after += int((stopped != np.where(end, 0, want)).sum())
    ended += int((want == 2).any(1).sum())
    counts += [len(set(row)) for row in want]
  pair.cache_clear()  # The encoding that is shared stays theirs.
  how = ', nothing shared' if literal else ''
  on = f'{_on(name, studies)}{how}'
  return [
    none_of('greedy ids without a stop', on, differing, studies * words),
    none_of('greedy ids up to the end', on, after, studies * words),
    for_scale(
      'reports that end; different ids in one',
      on,
      f'{ended} of {studies}; {np.mean(counts):.1f}',
    ),
  ]


def checkpoint(name: str) -> list[Row]:
  """Their state dict through ours and back, by files."""
  theirs, model, _, _ = pair(name)
  state = {k: v.numpy() for k, v in theirs.state_dict().items()}
  with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / 'model.pth'
    torch.save({'model': theirs.state_dict(), 'epoch': 3}, path)
    tensors = tensors_of(read_pth(path)['model'], path)
    back = to_captioner(model.shape, from_captioner(model, tensors, str(path)))
    write_pth(path, {'model': back})
    back = tensors_of(read_pth(path)['model'], path)
    same = [k for k in state if np.array_equal(state[k], back.get(k))]
  return [
    none_of(
      'arrays of a checkpoint, there and back',
      f'{name} size',
      len(state.keys() | back.keys()) - len(same),
      len(state),
    )
  ]
