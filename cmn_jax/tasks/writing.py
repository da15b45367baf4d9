"""Writing the reports of a split with a trained generator."""

import dataclasses
import time
from collections.abc import Callable, Iterable

import numpy as np

from cmn_jax.decoding.generate import Decoding, make_writer
from cmn_jax.models.films import normalise_films
from cmn_jax.models.report_generator import ReportGenerator
from cmn_jax.training.distributed import joined
from cmn_jax.training.parallel import Parallel
from cmn_jax.training.state import STEP_ARRAYS, make_loss_step

_FILMS = ('images_BxIxHxW', 'mask_B', 'mask_BxI')


@dataclasses.dataclass
class Written:
  """Reports of a split, in the order of its studies.

  Attributes:
    ids_SxT: word ids, zero after the end.
    seconds: of the whole writing, compilation included.
    reports_per_second: without the first batch, which compiles.
  """

  ids_SxT: np.ndarray
  seconds: float
  reports_per_second: float


def make_batch_writer(model: ReportGenerator, decoding: Decoding) -> Callable:
  """(variables, batch) -> ids_BxT, from the films as a batch holds them."""
  write = make_writer(model, decoding)

  def write_batch(variables, batch):
    images = normalise_films(batch['images_BxIxHxW'])
    return write(variables, images, batch['mask_B'], batch['mask_BxI'])[0]

  return write_batch


class ReportWriter:
  """A generator's compiled writing and scoring, reused from call to call."""

  def __init__(
    self, model: ReportGenerator, decoding: Decoding, parallel: Parallel
  ):
    self._parallel = parallel
    self._write = parallel.map_studies(make_batch_writer(model, decoding))
    self._loss = parallel.map_step(make_loss_step(model))

  def write(self, variables, batches: Iterable[dict], studies: int) -> Written:
    """Writes every study of `batches`; none is dropped, padding is.

    Args:
      variables: the model's, on the devices.
      batches: in the order of the split's studies; this process's rows.
      studies: how many there are, of all processes.
    """
    ids_SxT, begin, warm, done = None, time.perf_counter(), None, 0
    for batch in batches:
      kept = batch['mask_B']
      ids_BxT = self._write(
        variables, self._parallel.split(_take(batch, _FILMS))
      )
      if ids_SxT is None:
        ids_SxT = np.zeros((studies, ids_BxT.shape[1]), np.int32)
        warm = time.perf_counter()
      else:
        done += int(kept.sum())
      ids_SxT[batch['study_B'][kept]] = ids_BxT[kept]
    ids_SxT = joined(ids_SxT)
    done = int(joined(np.array([done]))[0])
    end = time.perf_counter()
    if not done:  # One batch was all: its time holds the compilation.
      warm, done = begin, studies
    return Written(ids_SxT, end - begin, done / max(end - warm, 1e-9))

  def loss(self, variables, batches: Iterable[dict]) -> float:
    """Mean negative log-likelihood of a token, nats, no dropout."""
    total, count = 0.0, 0.0
    for batch in batches:
      pair = self._loss(
        variables, self._parallel.split(_take(batch, STEP_ARRAYS))
      )['loss']
      total, count = total + float(pair[0]), count + float(pair[1])
    return total / max(count, 1.0)


def _take(batch, names):
  return {name: batch[name] for name in names}
