"""An opened data set: its studies with their ids, and where its films are."""

import dataclasses
import os
import pathlib

import numpy as np

from input_pipeline import vocabularies
from input_pipeline.config import DataConfig
from input_pipeline.layouts import detect, splits
from input_pipeline.phantom.write import write_phantom
from input_pipeline.store import prepared
from input_pipeline.store.source import (
  MadeUpFilms,
  PreparedFilms,
  StreamedFilms,
)
from input_pipeline.study import DataError, Study, refuse_problems
from input_pipeline.tokenizers import (
  Tokenizer,
  WordTokenizer,
  encode_reports,
)


@dataclasses.dataclass(frozen=True)
class Data:
  """An opened data set; `train_batches` and `eval_batches` read it.

  Attributes:
    name: of the data, such as 'iu_xray'.
    label_source: of the studies' labels, such as 'mesh', or None.
    split_source: whose split this is: 'r2gen', 'r2gen, 2,953 of 2,955',
      'hash-v1', 'mimic_cxr', or the name of the file that gave it.
    split_digest: of each part: equal for the same studies in every layout.
    split_official: whether a part is R2Gen's of IU X-Ray, none missing.
    tokenizer: of the ids.
    words: `words.normal_form(text)` of what a model has written is scored.
    studies: by split.
    ids: by split, [0] + word ids + [0] and zeros, int32 (S, T); [1] and [2] of
      an EkagenTokenizer.
    problems: the studies left out, one sentence each.
    views: films of each study.
    image_size: side of the images of a batch, in pixels.
    max_length: T.
    skip_bad: whether unreadable train films mask their study.
    films: where they come from.
  """

  name: str
  label_source: str | None
  split_source: str
  split_digest: dict[str, str]
  split_official: dict[str, bool]
  tokenizer: Tokenizer
  words: WordTokenizer
  studies: dict[str, list[Study]]
  ids: dict[str, np.ndarray]
  problems: list[str]
  views: int
  image_size: int
  max_length: int
  skip_bad: bool
  films: PreparedFilms | StreamedFilms | MadeUpFilms

  def text_of(self, ids: np.ndarray) -> str:
    """Generated ids as the text that is scored, in words of the references."""
    return self.words.normal_form(self.tokenizer.decode(ids))


def open_data(config: DataConfig) -> Data:
  """Opens a folder of any layout, or one that `prepare` has written.

  A phantom that is asked for is drawn first. The films of another folder are
  decoded into `config.cache_dir` on first use, or with `config.stream` each
  time that they are read; with `config.synthetic` not at all.

  Raises:
    DataError: there are no such data, or bad studies among them.
  """
  if config.phantom_studies and not pathlib.Path(config.dir).exists():
    _check_writable(pathlib.Path(config.dir).absolute(), 'data.dir', config.dir)
    write_phantom(
      config.dir,
      studies=config.phantom_studies,
      seed=config.phantom_seed,
      size=config.phantom_size,
      workers=os.cpu_count() or 1,
    )
  open_films = _open_streamed if config.stream else _open_prepared
  if config.synthetic:
    open_films = _open_made_up
  info, studies, films = open_films(config)
  reports = [study.report for study in studies['train']]
  words = WordTokenizer.fit(reports, config.min_count, config.clean)
  tokenizer = vocabularies.fit(config, reports)

  def with_reference(study):
    reference = words.reference(study.report, config.reference_length)
    return dataclasses.replace(study, reference=reference)

  return Data(
    name=info['name'],
    label_source=info['label_source'],
    split_source=splits.split_source(info['split_name'], studies),
    split_digest={s: splits.part_digest(v) for s, v in studies.items()},
    split_official={s: splits.is_official(s, v) for s, v in studies.items()},
    tokenizer=tokenizer,
    words=words,
    studies={s: list(map(with_reference, v)) for s, v in studies.items()},
    ids={
      split: encode_reports(
        tokenizer, [study.report for study in members], config.max_length
      )
      for split, members in studies.items()
    },
    problems=info['problems'],
    views=config.views,
    image_size=config.image_size,
    max_length=config.max_length,
    skip_bad=config.skip_bad,
    films=films,
  )


def _open_prepared(config):
  """What is known of the data, its studies by split, and their films."""
  folder = config.dir
  if prepared.is_prepared(folder):
    opened = prepared.open_prepared(folder)
    _check_prepared(folder, opened.info, config)
  else:
    cache_dir = _cache_dir(config)
    dataset = detect.scan(config, cache_dir / prepared.UNPACKED)
    out = cache_dir / prepared.prepared_name(dataset, config)
    prepared.prepare(dataset, config, out)
    opened = prepared.open_prepared(out)
    problems = opened.info['problems']
    refuse_problems(dataset.folder, problems, config.skip_bad)
  films = PreparedFilms(opened.builder, config.views)
  return opened.info, opened.studies, films


def _open_streamed(config):
  """As `_open_prepared`; the films are looked for, and not yet read."""
  if prepared.is_prepared(config.dir):
    raise DataError(
      f'{config.dir} is prepared, its films need not be read from their files: '
      f'set data.stream=False.'
    )
  dataset = detect.scan(config, _cache_dir(config) / prepared.UNPACKED)
  refuse_problems(dataset.folder, dataset.problems, config.skip_bad)
  films = StreamedFilms(config, dataset.fingerprint)
  return vars(dataset), dataset.studies, films


def _open_made_up(config):
  """As `_open_prepared`, of films that are neither read nor prepared."""
  if prepared.is_prepared(config.dir):
    info, studies, _ = _open_prepared(config)
  else:
    info, studies, _ = _open_streamed(config)
  return info, studies, MadeUpFilms(config)


def _cache_dir(config):
  field = 'data.cache_dir', config.cache_dir
  try:
    folder = pathlib.Path(config.cache_dir).expanduser().absolute()
  except RuntimeError as error:  # of a user without a home
    raise _not_made(*field, error) from error
  if not (config.stream or config.synthetic):
    _check_writable(folder, *field)
  return folder


def _check_writable(folder: pathlib.Path, field: str, value: str) -> None:
  """Raises DataError where a folder cannot be made or written."""
  try:
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(there, os.W_OK):
      raise PermissionError(f'{there} cannot be written')
  except OSError as error:
    raise _not_made(field, value, error) from error


def _not_made(field, value, error) -> DataError:
  return DataError(
    f'{field} is {value!r}, which cannot be made ({error}): set it to a folder '
    'that can be written'
  )


def _check_prepared(folder, info, config):
  """Raises DataError where a prepared folder is not what is asked for."""
  wanted = config.selection | config.sizes
  if wanted['split_from'] == '':
    del wanted['split_from']  # it has its split
  others = [
    f'{name} {info.get(name)} (wanted: {value})'
    for name, value in wanted.items()
    if info.get(name) != value
  ]
  if others:
    raise DataError(
      f'{folder} was prepared with {", ".join(others)}: prepare it again, or '
      f'set these fields to what it has.'
    )
