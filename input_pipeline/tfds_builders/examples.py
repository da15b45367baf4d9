"""A study record as an example of TFDS, read here or by Apache Beam."""

import dataclasses
import json
import pathlib
import shutil
from collections.abc import Iterable, Iterator

from absl import logging

from input_pipeline import beam, images
from input_pipeline.findings import CHEXPERT_14
from input_pipeline.study import (
  FRONTAL,
  LATERAL,
  SPLITS,
  Dataset,
  Study,
  study_of,
)
from input_pipeline.tensorflow_cpu import tfds

_VIEWS = ('unknown', FRONTAL, LATERAL)
_STATUSES = ('unlabelled', 'unmentioned', 'positive', 'negative', 'uncertain')
_SECTIONS = ('impression', 'indication', 'comparison')


def features(label_source: str, mesh: bool) -> tfds.features.FeaturesDict:
  """The documented features of an example.

  Args:
    label_source: whose labels these are, for a person.
    mesh: whether the studies have MeSH terms.
  """
  text, label = tfds.features.Text, tfds.features.ClassLabel
  # Not a Sequence: films of one study differ in size.
  films = tfds.features.Dataset(
    {
      'film': tfds.features.Image(shape=(None, None, 1), doc='8 bit grey'),
      'view': label(names=_VIEWS, doc='as the source says it'),
    },
    doc="in the source's order",
  )
  fields = {
    'id': text(doc='of the study, unlike that of any other'),
    'report': text(doc='FINDINGS, as it was written'),
    'films': films,
    'labels': tfds.features.FeaturesDict(
      {name: label(names=_STATUSES) for name in CHEXPERT_14},
      doc=f'Source: {label_source}',
    ),
  } | {name: text(doc='empty where there is none') for name in _SECTIONS}
  if mesh:
    fields['mesh'] = tfds.features.Sequence(
      text(), doc="Open-i's indexers: MeSH terms with their qualifiers"
    )
  return tfds.features.FeaturesDict(fields)


class StudiesBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
  """A builder of studies, in Beam where its options or a runner are given."""

  _listings: pathlib.Path | None = None  # where Beam is told of the studies

  def _download_and_prepare(self, dl_manager, download_config):
    if not (download_config.beam_options or download_config.beam_runner):
      super()._download_and_prepare(dl_manager, download_config)
      return
    beam.load()  # before a long download
    self._listings = pathlib.Path(self.data_dir, 'listings').absolute()
    self._listings.mkdir()
    try:
      super()._download_and_prepare(dl_manager, download_config)
    finally:
      shutil.rmtree(self._listings)
      self._listings = None

  def _generate_examples(self, examples):
    yield from examples

  def _generators(self, dataset: Dataset, *, mesh: bool, as_stored: bool):
    """{split: examples} of a `study.Dataset`, or the transforms to them.

    Other arguments as for `examples`.
    """
    for problem in dataset.problems:
      logging.warning('Left out: %s', problem)
    how = {'mesh': mesh, 'as_stored': as_stored}
    if self._listings is None:
      return {s: examples(dataset.studies[s], **how) for s in SPLITS}
    return {
      split: _transform(
        dataset.studies[split], self._listings / f'{split}.jsonl', how
      )
      for split in SPLITS
    }


def _transform(studies, path, how):
  """A PTransform to the examples; workers read of the studies in `path`."""
  with path.open('w', encoding='utf-8') as file:
    for study in studies:
      file.write(json.dumps(dataclasses.asdict(study)) + '\n')
  return beam.lines_of(path) | beam.load().FlatMap(_examples_of_line, **how)


def _examples_of_line(line, **how):
  study = study_of(json.loads(line))
  for film in filter(None, study.films):
    beam.check_seen(film)
  return examples([study], **how)


def examples(
  studies: Iterable[Study], *, mesh: bool, as_stored: bool
) -> Iterator[tuple[str, dict]]:
  """Yields (id, example); logs the studies that a bad film leaves out.

  Args:
    studies: of a `study.Dataset`.
    mesh: whether the examples have MeSH terms.
    as_stored: keep the bytes of the films' files, PNG or JPEG, for TensorFlow
      to decode; otherwise the grey levels become a PNG.
  """
  for study in studies:
    films = []
    try:
      for path, view in zip(study.films, study.views, strict=True):
        if path:
          grey_HxW = images.read_film(path)  # also to see that it can be read
          film = path if as_stored else grey_HxW[..., None]
          films.append({'film': film, 'view': view or _VIEWS[0]})
    except images.ImageError as error:
      logging.warning('Left out: %s/%s: %s', study.split, study.id, error)
      continue
    example = {
      'id': study.id,
      'report': study.report,
      'films': films,
      'labels': {name: _status(study, name) for name in CHEXPERT_14},
    } | {name: study.sections.get(name, '').strip() for name in _SECTIONS}
    if mesh:
      example['mesh'] = list(study.mesh or ())
    yield study.id, example


def _status(study, name):
  if study.labels is None:
    return _STATUSES[0]
  return study.labels.get(name, _STATUSES[1])
