"""Reports for many studies of one's own: read ahead, written in batches."""

import collections
import concurrent.futures
import contextlib
import dataclasses
import itertools
from collections.abc import Iterable, Iterator

import numpy as np
from ml_collections import ConfigDict

from cmn_jax.loaded import Loaded
from cmn_jax.predictor import filled, read_row
from cmn_jax.report import Report, Writer
from input_pipeline.cores import cores
from input_pipeline.errors import UserError
from input_pipeline.film_list import FilmStudy, printable, slots_of
from input_pipeline.film_statistics import FilmLook

_THREADS = 8


@dataclasses.dataclass(frozen=True)
class Result:
  """What was said of a study, or why nothing could be.

  Attributes:
    study: as it was given.
    films: those of it that were read, in the model's order.
    images_IxHxW: uint8, as the model saw them.
    looks: how much each looks like those of training, None where not known.
    report: None where there is an error.
    error: a sentence, '' where there is a report.
  """

  study: FilmStudy
  films: tuple[str, ...] = ()
  images_IxHxW: np.ndarray | None = None
  looks: list[FilmLook] | None = None
  report: Report | None = None
  error: str = ''


def write_reports(
  writer: Writer,
  studies: Iterable[FilmStudy],
  beam_size: int | None = None,
  attention: bool = False,
) -> Iterator[Result]:
  """A result for each study, in their order.

  Studies are taken as they are needed, and so many written at once as an
  evaluation writes; fewer are filled up to a power of two. So there are few
  programs to compile. A study whose films cannot be read costs nothing but its
  own result.

  Args:
    writer: of `Reporter.load`.
    studies: films in files, see `input_pipeline.film_list`.
    beam_size: beams of a study; None decodes as config.decode says.
    attention: whether to say what the words looked at.
  """
  size, least = writer.config.eval.batch_size, 1
  with _reading(writer, studies, 2 * size) as read:
    while part := list(itertools.islice(read, size)):
      good = [one for one in part if not one[0].error]
      said = iter(())
      if good:
        # A program that is there costs less than a smaller one to be made.
        least = max(least, min(1 << (len(good) - 1).bit_length(), size))
        batch = filled(_batch_of(good), least)
        said = iter(writer.reports(batch, beam_size, attention)[: len(good)])
      for result, _ in part:
        if not result.error:
          report = dataclasses.replace(next(said), looks=result.looks)
          result = dataclasses.replace(result, report=report)
        yield result


@contextlib.contextmanager
def _reading(writer: Writer, studies: Iterable[FilmStudy], ahead: int):
  """Iterates over (Result without report, {array: row}), reading ahead."""
  threads = min(cores(), _THREADS)
  pool = concurrent.futures.ThreadPoolExecutor(threads)
  studies, waiting = iter(studies), collections.deque()

  def read():
    while True:
      for study in itertools.islice(studies, ahead - len(waiting)):
        waiting.append(
          pool.submit(read_own, study, writer.config.data, writer.loaded)
        )
      if not waiting:
        return
      yield waiting.popleft().result()

  try:
    yield read()
  finally:
    pool.shutdown(cancel_futures=True)


def read_own(
  study: FilmStudy, c: ConfigDict, loaded: Loaded
) -> tuple[Result, dict]:
  """A study without its report, or with its error, and its row of a batch.

  Args:
    study: whose films are put in the model's order.
    c: config.data of the model.
    loaded: its checkpoint.
  """
  if study.fault:
    return Result(study, error=study.fault), {}
  slots = slots_of(study, c.views, c.view_rule)
  films = tuple(film for film in slots if film is not None)
  if not films:
    error = 'all its films are lateral, and this model takes frontal ones alone'
    return Result(study, error=error), {}
  try:
    row = read_row(slots, c.image_size)
  except (UserError, OSError) as error:
    return Result(study, films, error=printable(str(error))), {}
  images = row['images_BxIxHxW'][row['mask_BxI']]
  return Result(study, films, images, loaded.looks(images)), row


def _batch_of(good) -> dict:
  rows = [row for _, row in good]
  return {name: np.stack([row[name] for row in rows]) for name in rows[0]}
