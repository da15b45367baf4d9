"""Reports for one's own films.

  python -m cmn_jax.predict --checkpoint DIR --image FILE [--image FILE]

Takes PNG, JPEG or DICOM files. With --classifier DIR (a workdir of the variant
classifier), or where --checkpoint is one, it prints the probability of each
finding too, and where report and classifier disagree. Not for clinical use.
"""

import argparse
import dataclasses
import json
import sys
import textwrap
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from cmn_jax import compilation_cache, experiment
from cmn_jax.decoding.generate import (
  BucketedWriter,
  attention_of_words,
  make_writer,
)
from cmn_jax.models.films import normalise_films
from cmn_jax.study_classifier import Opinion, StudyClassifier
from cmn_jax.training.checkpoints import (
  CheckpointError,
  find_step,
  load_model,
)
from input_pipeline.errors import UserError
from input_pipeline.findings import Finding
from input_pipeline.findings_reader import findings_reader
from input_pipeline.images import prepare_films
from input_pipeline.tokenizers import tokenizer_from_json

_DRAWN = ('phantom', 'iu_xray-drawn')


@dataclasses.dataclass
class Report:
  """A generated report.

  Attributes:
    text: its words.
    findings: positive findings that the text states.
    attention: (words, I, h, w), what each word looked at on each film.
    opinions: of the classifier, on each of its classes; none without one.
  """

  text: str
  findings: list[Finding]
  attention: np.ndarray
  opinions: list[Opinion]


class Reporter:
  """A trained generator with its vocabulary, ready for films."""

  def __init__(
    self,
    variables: dict,
    meta: dict,
    classifier: StudyClassifier | None = None,
  ):
    self.classifier = classifier
    if classifier:
      classifier.check_fits(meta)
    self.config = ConfigDict(meta['config'])
    self.meta = meta
    self.tokenizer = tokenizer_from_json(meta['tokenizer'])
    self.model = experiment.make_model(
      self.config,
      self.tokenizer.vocab_size + 1,
      axis_name=None,
      findings=len(meta['finding_targets']),
    )
    self._variables = jax.device_put(variables)
    self._reader = findings_reader(meta['label_source'])
    self._log_probs = jax.jit(
      lambda v, images, ids, mask: self.model.apply(v, images, ids, mask, False)
    )
    self._attention = jax.jit(attention_of_words(self.model))
    self._writers = {}

  @classmethod
  def load(
    cls, folder: Path | str, classifier: Path | str | None = None
  ) -> 'Reporter':
    """From a workdir (its best checkpoint), a step of it, or a converted one.

    A classifier's workdir serves as both, unless it was fine-tuned.

    Args:
      folder: of the report model.
      classifier: of a classifier to be asked too, if any.

    Raises:
      CheckpointError: nothing there, not readable, or not fitting together.
    """
    variables, meta = load_model(find_step(folder))
    if 'classifier' not in meta:
      second = StudyClassifier.load(classifier) if classifier else None
      return cls(variables, meta, second)
    if classifier:
      raise CheckpointError(
        f'{folder} holds a classifier: name the report model with --checkpoint'
      )
    second = StudyClassifier(variables, meta, str(folder))
    if second.finetuned:
      raise CheckpointError(
        f'the report model in {folder} was fine-tuned to classify and does '
        'not write any more: name the one that it came from with --checkpoint, '
        'and this one with --classifier'
      )
    report = second.report_model
    return cls(report.variables, report.meta, second)

  def log_probs(self, images_BxIxHxWxC, ids_BxT) -> np.ndarray:
    """Teacher-forced log-probabilities as trained, no dropout.

    Args:
      images_BxIxHxWxC: float32, resized and normalised.
      ids_BxT: [0] + words + [0], padded with zeros.

    Returns:
      (B, T - 1, V); row t predicts ids[t + 1].
    """
    mask_B = np.ones(len(ids_BxT), bool)
    return np.asarray(
      self._log_probs(
        self._variables, images_BxIxHxWxC, np.asarray(ids_BxT), mask_B
      )
    )

  def generate(
    self, images_BxIxHxWxC, beam_size: int = 3, mask_BxI=None
  ) -> np.ndarray:
    """Word ids (B, T), zero after the end, by beam search.

    Args:
      images_BxIxHxWxC: float32, resized and normalised.
      beam_size: beams of a study.
      mask_BxI: False for films that a study does not have; None where all
        are there.
    """
    if beam_size not in self._writers:
      decoding = dataclasses.replace(
        experiment.make_decoding(self.config),
        method='beam',
        beam_size=beam_size,
      )
      self._writers[beam_size] = BucketedWriter(
        make_writer(self.model, decoding), self.config.eval.batch_size
      )
    mask_B = np.ones(len(images_BxIxHxWxC), bool)
    ids, _ = self._writers[beam_size](
      self._variables, images_BxIxHxWxC, mask_B, mask_BxI
    )
    return ids

  def report(self, paths, beam_size: int = 3) -> Report:
    """The report for the films of one study, given by their files.

    Films that it could have more of are masked, as in training.

    Raises:
      ImageError: a file is not a readable film.
      UserError: more films than the model was trained with.
    """
    views = self.config.data.views
    if not 1 <= len(paths) <= views:
      raise UserError(
        f'{len(paths)} films given; this model takes 1 to {views} of a study'
      )
    size = self.config.data.image_size
    films_1xIxHxW = np.zeros((1, views, size, size), np.uint8)
    films_1xIxHxW[0, : len(paths)] = prepare_films(paths, size)
    mask_1xI = np.arange(views)[None] < len(paths)
    images = np.asarray(normalise_films(films_1xIxHxW))
    ids_1xT = self.generate(images, beam_size, mask_1xI)
    text = self.tokenizer.decode(ids_1xT[0])
    attention_TxP = np.asarray(
      self._attention(self._variables, images, ids_1xT, mask_1xI)[0]
    )
    words = len(self.tokenizer.tokens(ids_1xT[0]))
    side = round((attention_TxP.shape[1] / views) ** 0.5)
    attention = attention_TxP[:words].reshape(words, views, side, side)
    opinions = []
    if self.classifier:
      opinions = self.classifier.opinions(
        films_1xIxHxW, mask_1xI, ids_1xT[0], text
      )
    return Report(
      text,
      self._reader.of_text(text),
      attention[:, : len(paths)],
      opinions,
    )

  @property
  def drawn(self) -> bool:
    """Whether the training films were a program's, not patients'."""
    return self.meta['dataset'] in _DRAWN

  @property
  def provenance(self) -> str:
    """What the model was trained on, in one sentence."""
    c = self.config
    what = ' (drawn films)' if self.drawn else ''
    epochs = self.meta['history'][-1]['epoch'] if self.meta['history'] else '?'
    return (
      f'variant {c.variant}, {c.model.encoder} at {c.data.image_size} pixels, '
      f'trained on {self.meta["dataset"]}{what} for {epochs} epochs, '
      f'{self.tokenizer.vocab_size} words'
    )


def _describe(finding: Finding) -> str:
  words = (finding.severity, finding.side, finding.zone, finding.name)
  return ' '.join(word for word in words if word)


def _as_json(classifier, opinions) -> dict | None:
  """What the classifier says, None without one."""
  if not classifier:
    return None
  return {
    'inputs': classifier.inputs,
    'label_source': classifier.label_source,
    'classes': [
      {**dataclasses.asdict(opinion), 'disputed': opinion.disputed}
      for opinion in opinions
    ],
  }


def _print_opinions(classifier, opinions: list[Opinion]):
  """The classes by probability, and where report and classifier disagree."""
  one = ', names one class' if opinions[0].threshold is None else ''
  print(f'classifier (inputs {classifier.inputs}{one}), by probability:')
  for opinion in sorted(opinions, key=lambda o: -o.probability):
    told = 'found' if opinion.said else ''
    if opinion.disputed and opinion.said:
      told = 'found, BUT NOT IN THE REPORT'
    elif opinion.disputed:
      told = 'IN THE REPORT ALONE'
    threshold = opinion.threshold
    bound = '' if threshold is None else f'(from {threshold:.3f})'
    line = f'  {opinion.name:26s} {opinion.probability:.3f} {bound:13s} {told}'
    print(line.rstrip())
  if opinions[0].threshold is not None:
    print('  (from: a class is found from this on; best F1 on validation)')
  if any(opinion.disputed for opinion in opinions):
    print('Report and classifier disagree: look again.')


def print_report(reporter: Reporter, paths, report: Report, as_json: bool):
  """A report for people, 80 columns wide, or as JSON."""
  if as_json:
    content = {
      'images': [str(path) for path in paths],
      'report': report.text,
      'findings': [dataclasses.asdict(f) for f in report.findings],
      'classifier': _as_json(reporter.classifier, report.opinions),
      'model': reporter.provenance,
      'trained_on_drawn_films': reporter.drawn,
      'clinical_use': False,
    }
    print(json.dumps(content, indent=1))
    return
  found = ', '.join(_describe(f) for f in report.findings)
  for name, text in (
    ('films:', ', '.join(str(path) for path in paths)),
    ('model:', reporter.provenance),
    ('report:', report.text),
    ('findings:', f'{found or "none"} (read in the report by rules)'),
  ):
    for line in textwrap.wrap(
      f'{name:10s}{text}',
      78,
      subsequent_indent=' ' * 10,
      break_long_words=False,  # a path stays whole
      break_on_hyphens=False,
    ):
      print(line)
  if report.opinions:
    _print_opinions(reporter.classifier, report.opinions)
  if reporter.drawn:
    print(
      'This model has seen drawn films only: on a real film its report means\n'
      'nothing.'
    )
  print('Not for clinical use.')


def main():
  """Reads the command line; what a person can mend is told in one sentence."""
  parser = argparse.ArgumentParser(
    prog='python -m cmn_jax.predict', description=__doc__.split('\n')[0]
  )
  parser.add_argument('--checkpoint', required=True, help='workdir or step')
  parser.add_argument(
    '--classifier', help='workdir or step of a classifier to be asked too'
  )
  parser.add_argument(
    '--image',
    action='append',
    required=True,
    help='PNG, JPEG or DICOM; once for each view, the frontal one first',
  )
  parser.add_argument('--beam_size', type=int, default=3)
  parser.add_argument('--json', action='store_true', help='print JSON')
  args = parser.parse_args()
  compilation_cache.enable()
  try:
    reporter = Reporter.load(args.checkpoint, args.classifier)
    report = reporter.report(args.image, args.beam_size)
  except UserError as error:
    sys.exit(f'error: {error}')
  print_report(reporter, args.image, report, args.json)


if __name__ == '__main__':
  main()
