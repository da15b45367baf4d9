"""Theirs against ours: log-probabilities, written reports, training."""

import dataclasses
import sys

import jax
import numpy as np
import torch

from cmn_jax.generation import Decoding, make_writer
from cmn_jax.interop.names import to_variables
from cmn_jax.interop.r2gencmn import from_r2gencmn, r2gencmn_rows
from cmn_jax.models.report_generator import (
  ReportGenerator,
  Shape,
  normalise_films,
)
from tests.parity import authors, draw, training
from tests.parity.results import Row, at_most, none_of
from tests.parity.twin import Twin, twin_rows

SMALL = Shape(
  encoder='resnet18',
  encoder_width=16,
  memory='shared',
  memory_slots=128,
  memory_top_k=16,
  width=64,
  heads=4,
  hidden=64,
  layers=2,
  dropout=0.0,
  patch_dropout=0.0,
  memory_dropout=0.0,
  vocabulary=80,
  max_length=24,
)
PUBLISHED = Shape(
  encoder='resnet101',
  encoder_width=64,
  memory='shared',
  memory_slots=2048,
  memory_top_k=32,
  width=512,
  heads=8,
  hidden=512,
  layers=3,
  dropout=0.0,
  patch_dropout=0.0,
  memory_dropout=0.0,
  vocabulary=761,
  max_length=60,
)


@dataclasses.dataclass(frozen=True)
class Size:
  """What a check is run at.

  Attributes:
    name: for the table.
    shape: of the model.
    image: side of a film in pixels.
    studies: that reports are written for.
    batch: studies at once.
    train_batch: studies of a training step.
    end_bias: so that some reports end early and some do not.
  """

  name: str
  shape: Shape
  image: int
  studies: int
  batch: int
  train_batch: int
  end_bias: float


SMALL_SIZE = Size('small model', SMALL, 64, 256, 64, 8, 2.0)
PUBLISHED_SIZE = Size('published sizes', PUBLISHED, 224, 208, 8, 2, 3.3)


def pair(size: Size, views: int, seed: int, centre: bool = True):
  """The authors' model and ours with the same random weights.

  Args:
    size: of the models.
    views: films of a study.
    seed: of the weights.
    centre: see `_centre_patches`.

  Returns:
    Theirs, ours, our variables.
  """
  tensors = draw.draw_state_dict(
    size.shape, r2gencmn_rows(size.shape), seed, size.end_bias
  )
  theirs = authors.build_model(size.shape, views, size.image, dropout=False)
  ours = ReportGenerator(size.shape)
  if centre:
    _centre_patches(size, ours, tensors)
  load_state(theirs, tensors)
  return theirs, ours, from_r2gencmn(ours, tensors, 'the drawn weights')


def _centre_patches(size: Size, model: ReportGenerator, tensors):
  """Lets the patch embedding see what differs between studies.

  A random ResNet answers nearly the same to all films: without this all
  reports are alike. Changes the patch embedding in place.
  """
  variables = from_r2gencmn(model, tensors, 'the drawn weights')
  films = normalise_films(draw.draw_films(8, 1, size.image, seed=9))
  patches, _ = model.apply(
    variables, films, np.ones(8, bool), method=model.visual_features
  )
  patches = np.asarray(patches)
  weight = tensors['encoder_decoder.att_embed.0.weight']
  embedded = patches @ weight.T
  weight *= 0.4 / np.std(embedded - embedded.mean(0))
  centre = patches.mean((0, 1)) @ weight.T
  tensors['encoder_decoder.att_embed.0.bias'] -= centre


def load_state(model, tensors):
  """Loads all but the buffers that are not drawn."""
  result = model.load_state_dict(
    {k: torch.from_numpy(v) for k, v in tensors.items()}, strict=False
  )
  kept = ('.pe', '.num_batches_tracked')
  missing = [k for k in result.missing_keys if not k.endswith(kept)]
  if missing or result.unexpected_keys:
    raise SystemExit(
      f'error: {missing} missing, {result.unexpected_keys} extra'
    )


def log_probs(size: Size, views: int, studies: int) -> list[Row]:
  """Teacher-forced log-probabilities, evaluation mode."""
  theirs, ours, variables = pair(size, views, seed=1)
  ids_BxT = draw.draw_ids(studies, size.shape, seed=2)
  films = draw.draw_films(studies, views, size.image, seed=3)
  images = np.asarray(normalise_films(films))
  expected = authors.log_probs(theirs, images, ids_BxT)
  got = jax.jit(
    lambda v, images, ids: ours.apply(
      v, images, ids, np.ones(studies, bool), False
    )
  )(variables, images, ids_BxT)
  on = f'{size.name}, {_views(views)}, {studies} studies'
  worst = float(np.max(np.abs(np.asarray(got) - expected)))
  return [at_most('log-probabilities, absolute', on, worst, 1e-4)]


def reports(size: Size, views: int, literal: int) -> list[Row]:
  """Ids by beam search and greedily.

  Args:
    size: of the model.
    views: films of a study.
    literal: so many studies also without our shortcut in their code.
  """
  theirs, ours, variables = pair(size, views, seed=1)
  films = draw.draw_films(size.studies, views, size.image, seed=3)
  return compare_reports(
    theirs, ours, variables, films, size.name, size.batch, literal
  )


def compare_reports(
  theirs, ours, variables, films, name: str, batch: int, literal: int
) -> list[Row]:
  """Rows for the ids of both, by beam search and greedily."""
  rows = []
  for method, beams in (('beam_search', 3), ('greedy', 1)):
    expected, got = [], []
    decoding = Decoding('beam' if beams > 1 else 'greedy', beams, 1.0, 1.0, 0)
    write = jax.jit(make_writer(ours, decoding))
    for start in range(0, len(films), batch):
      images = np.asarray(normalise_films(films[start : start + batch]))
      expected.append(authors.write(theirs, images, method, beams))
      ids, _ = write(variables, images, np.ones(len(images), bool))
      got.append(np.asarray(ids))
      lengths = ' '.join(str(n) for n in (expected[-1] > 0).sum(1))
      print(f'{name}, {method}, from {start}: {lengths} words', file=sys.stderr)
    expected, got = np.concatenate(expected), np.concatenate(got)
    differing = int(np.sum(np.any(expected != got, axis=1)))
    on = f'{name}, {len(films)} studies ({_describe(expected)})'
    what = f'ids, {"beam 3" if beams > 1 else "greedy"}'
    rows.append(none_of(what, on, differing, len(films)))
    if literal:
      images = np.asarray(normalise_films(films[:literal]))
      with authors.as_written():
        plain = authors.write(theirs, images, method, beams)
      differing = int(np.sum(np.any(expected[:literal] != plain, axis=1)))
      what = f'{what}: theirs as written, and with our shortcuts'
      rows.append(
        none_of(what, f'{name}, {literal} studies', differing, literal)
      )
  return rows


def steps(size: Size) -> list[Row]:
  """Loss, gradients, batch statistics and parameters of 20 steps."""
  theirs, ours, variables = pair(size, 2, seed=4)
  table = r2gencmn_rows(size.shape)
  found = training.compare(
    theirs, ours, variables, table, training_batches(size)
  )
  return training_rows(found, f'{size.name}, batch {size.train_batch}')


def twin(memory: str) -> list[Row]:
  """Log-probabilities and training of a variant against our torch twin."""
  shape = dataclasses.replace(SMALL_SIZE.shape, memory=memory)
  size = dataclasses.replace(SMALL_SIZE, shape=shape)
  table = twin_rows(shape)
  tensors = draw.draw_state_dict(shape, table, seed=7)
  theirs, ours = Twin(shape).eval(), ReportGenerator(shape)
  load_state(theirs, tensors)
  variables = to_variables(table, tensors)
  batches = training_batches(size)
  images = np.asarray(normalise_films(batches[0]['images_BxIxHxW']))
  ids_BxT, mask_B = batches[0]['ids_BxT'], batches[0]['mask_B']
  expected = authors.log_probs(theirs, images, ids_BxT)
  got = ours.apply(variables, images, ids_BxT, mask_B, False)
  worst = float(np.max(np.abs(np.asarray(got) - expected)))
  name = {'none': 'base', 'separate': 'mem', 'shared': 'cmn'}[memory]
  on = f'{name} and our torch twin, small model'
  found = training.compare(theirs, ours, variables, table, batches)
  return [
    at_most('log-probabilities, absolute', on, worst, 1e-4),
    *training_rows(found, on),
  ]


def training_batches(size: Size) -> list[dict]:
  """The batches of one epoch."""
  count = size.train_batch * training.STEPS_PER_EPOCH
  films = draw.draw_films(count, 2, size.image, seed=5)
  ids = draw.draw_ids(count, size.shape, seed=6)
  return [
    {
      'images_BxIxHxW': films[start : start + size.train_batch],
      'ids_BxT': ids[start : start + size.train_batch],
      'mask_B': np.ones(size.train_batch, bool),
      'mask_BxI': np.ones((size.train_batch, 2), bool),
    }
    for start in range(0, count, size.train_batch)
  ]


def training_rows(found: training.Differences, on: str) -> list[Row]:
  """Rows for one comparison of training, all relative."""
  steps_on = f'{on}, {training.STEPS} steps'
  return [
    at_most('training loss, relative', on, found.loss, 1e-5),
    at_most('gradient, worst array, relative', on, found.gradient, 1e-3),
    at_most(
      'gradient where it is 0 in truth, over the largest',
      on,
      found.zero_gradient,
      1e-6,
    ),
    at_most('BatchNorm statistics, relative', on, found.statistics, 1e-3),
    at_most(
      'parameters, worst array, relative', steps_on, found.parameters, 1e-3
    ),
    at_most('losses of all steps, relative', steps_on, found.losses, 1e-3),
    Row(
      'for scale: torch against itself, weights 1e-7 larger at the start',
      steps_on,
      f'{found.control:.1e} (losses {found.control_losses:.1e})',
      'none',
      True,
    ),
  ]


def _views(views: int) -> str:
  return 'one view' if views == 1 else f'{views} views'


def _describe(ids_BxT) -> str:
  lengths = (ids_BxT > 0).sum(1)
  full = int(np.sum(lengths == ids_BxT.shape[1]))
  distinct = len({tuple(row) for row in ids_BxT})
  return f'{distinct} distinct, {full} reach the limit'
