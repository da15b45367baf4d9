"""TFDS builder over the R2Gen layout: films decoded and resized once.

Train films keep their shape, the short side at `stored_size`, to be cropped
at random. Val and test films are resized from the original straight to
`image_size`, so that nothing is resampled twice where it is scored.
"""

import collections
import concurrent.futures
import contextlib
import dataclasses
import fcntl
import hashlib
import io
import json
import os
import pathlib
import re
import shutil

import numpy as np
import tqdm

from input_pipeline import images
from input_pipeline.datasets import r2gen
from input_pipeline.tensorflow_cpu import tfds, without_warnings


@dataclasses.dataclass(eq=False, kw_only=True)
class IuXrayConfig(tfds.core.BuilderConfig):
  """Sizes in pixels; the name tells one folder and its sizes from others."""

  views: int
  stored_size: int
  image_size: int


class IuXray(tfds.core.GeneratorBasedBuilder):
  """Studies in the order of the annotation, films as 8 bit grey."""

  VERSION = tfds.core.Version('1.0.0')

  def __init__(self, *, source, skip_bad, config, data_dir):
    """`source` is an `r2gen.Dataset`; see `prepare` for the rest."""
    self._source = source
    self._skip_bad = skip_bad
    with without_warnings():  # that the configuration is not a listed one
      super().__init__(
        config=config, data_dir=data_dir, file_format='array_record'
      )

  def _info(self):
    # Plain bytes: decoding PNG made a train batch take over twice as long.
    film = tfds.features.Tensor(
      shape=(None, None), dtype=np.uint8, encoding='bytes'
    )
    return tfds.core.DatasetInfo(
      builder=self,
      description='Chest films and reports of one folder in R2Gen layout.',
      features=tfds.features.FeaturesDict(
        {
          'id': tfds.features.Text(),
          'report': tfds.features.Text(),
          'findings': tfds.features.Text(doc='JSON: a list, or null'),
        }
        | {film_key(view): film for view in range(self.builder_config.views)}
      ),
      disable_shuffling=True,  # record i is study i
      metadata=tfds.core.MetadataDict(skipped=[], problems=[]),
    )

  def _split_generators(self, dl_manager):
    del dl_manager  # everything is in the user's folder
    return {split: self._generate_examples(split) for split in r2gen.SPLITS}

  def _generate_examples(self, split):
    problems = self.info.metadata['problems']
    if split == r2gen.SPLITS[0]:
      problems.extend(self._source.problems)
    studies, written = self._source.studies[split], 0
    read = _map_ahead(self._read_films, studies)
    bar = tqdm.tqdm(
      read, f'Preparing {split} films', len(studies), unit=' studies'
    )
    for number, (study, films, faults) in enumerate(bar):
      if faults:
        problems.append(f'{split}/{study.id}: {" ".join(faults)}')
        self.info.metadata['skipped'].append([split, number])
        continue
      written += 1
      yield (
        number,
        {
          'id': study.id,
          'report': study.report,
          'findings': json.dumps(study.findings),
        }
        | {film_key(view): film for view, film in enumerate(films)},
      )
    # Raising here, inside TFDS's temporary folder, leaves nothing behind.
    if not written:
      raise r2gen.no_study_left(self._source.folder, split, problems)
    if split == r2gen.SPLITS[-1]:
      r2gen.refuse_problems(self._source.folder, problems, self._skip_bad)

  def _read_films(self, study):
    films, faults = [], []
    for path in study.films:
      try:
        film = images.read_film(path)
      except images.ImageError as error:
        faults.append(str(error))
        continue
      if study.split == 'train':
        film = images.resize_short_side(film, self.builder_config.stored_size)
      else:
        film = images.resize_square(film, self.builder_config.image_size)
      films.append(film)
    return study, films, faults


def film_key(view):
  """Name of one view's film in a record."""
  return f'film_{view}'


def prepare(source, *, views, stored_size, image_size, cache_dir, skip_bad):
  """Decodes the films of an `r2gen.Dataset` into `cache_dir`, once.

  A second call with the same annotation, films and sizes finds them there.
  Returns the builder; `kept_studies` gives the studies that its records hold.
  """
  key = [source.fingerprint, views, stored_size, image_size]
  digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]
  name = re.sub(r'\W', '_', source.name)
  config = IuXrayConfig(
    name=f'{name}_{digest}',
    views=views,
    stored_size=stored_size,
    image_size=image_size,
  )
  cache_dir = pathlib.Path(cache_dir).absolute()
  cache_dir.mkdir(parents=True, exist_ok=True)
  with _locked(cache_dir / f'.{config.name}.lock'):
    builder = IuXray(
      source=source, skip_bad=skip_bad, config=config, data_dir=cache_dir
    )
    if builder.data_path.exists():  # TFDS renames into place at the end
      problems = builder.info.metadata['problems']
      r2gen.refuse_problems(source.folder, problems, skip_bad)
      return builder
    for abandoned in builder.data_path.parent.glob('incomplete.*'):
      shutil.rmtree(abandoned)  # of a preparation that was killed
    with contextlib.redirect_stdout(io.StringIO()):  # TFDS's talk of downloads
      builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(try_download_gcs=False)
      )
  return builder


def kept_studies(builder, source):
  """The studies of `source` by split, record i being study i."""
  skipped = {tuple(pair) for pair in builder.info.metadata['skipped']}
  return {
    split: [s for i, s in enumerate(studies) if (split, i) not in skipped]
    for split, studies in source.studies.items()
  }


def _map_ahead(function, items):
  """Results in order, computed by threads on all cores, a few items ahead."""
  workers = len(os.sched_getaffinity(0))
  with concurrent.futures.ThreadPoolExecutor(workers) as pool:
    pending = collections.deque()
    for item in items:
      pending.append(pool.submit(function, item))
      if len(pending) > 4 * workers:
        yield pending.popleft().result()
    while pending:
      yield pending.popleft().result()


@contextlib.contextmanager
def _locked(path):
  """One process at a time prepares; the others wait and find it done."""
  with open(path, 'w') as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    yield
