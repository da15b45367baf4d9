"""Reports for one's own X-ray images: of one study, or of many.

  python -m cmn_jax.predict --checkpoint DIR --image FILE [--image FILE]
  python -m cmn_jax.predict --checkpoint DIR --images films --out reports.jsonl

Takes PNG, JPEG or DICOM files. With --classifier DIR (a workdir of the variant
classifier), or where --checkpoint is one, it gives the probability of each
finding too, and where report and classifier disagree. Not for clinical use.
"""

import argparse
import dataclasses
import json
import sys
import textwrap
from pathlib import Path

from input_pipeline import stopping

_FOUND_FROM = 'a class is found from this on; chosen on validation'


def __getattr__(name):
  """Reporter, without loading JAX where only --help is asked for."""
  if name in ('Reporter', 'Report'):
    from cmn_jax import reporter

    return getattr(reporter, name)
  raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def _words_of(finding) -> str:
  words = (finding.severity, finding.side, finding.zone, finding.name)
  return ' '.join(word for word in words if word)


def as_json(reporter, paths, report) -> dict:
  """A report and who has written it, as JSON's types."""
  from input_pipeline.film_list import printable

  classifier = reporter.classifier
  return {
    'images': [printable(str(path)) for path in paths],
    'report': report.text,
    'findings': [dataclasses.asdict(f) for f in report.findings],
    'unlike_training': report.unlike_training,
    'films': report.looks and [dataclasses.asdict(one) for one in report.looks],
    'classifier': classifier
    and {
      'inputs': classifier.inputs,
      'label_source': classifier.label_source,
      'classes': [
        {**dataclasses.asdict(one), 'disputed': one.disputed}
        for one in report.classes
      ],
    },
    'model': reporter.provenance,
    'trained_on_drawn_images': reporter.drawn,
    'clinical_use': False,
  }


def _class_lines(classifier, classes) -> list[str]:
  """The classes by probability, and where report and classifier disagree."""
  single = classes[0].threshold is None
  one = ', names one class' if single else ''
  lines = [f'classifier (inputs {classifier.inputs}{one}), by probability:']
  for c in sorted(classes, key=lambda c: -c.probability):
    verdict = 'found' if c.found else ''
    if c.disputed:
      verdict = (
        'found, BUT NOT IN THE REPORT' if c.found else 'IN THE REPORT ALONE'
      )
    bound = '' if single else f'(from {c.threshold:.3f})'
    lines.append(
      f'  {c.name:26s} {c.probability:.3f} {bound:13s} {verdict}'.rstrip()
    )
  if not single:
    lines.append(f'  (from: {getattr(classifier, "note", _FOUND_FROM)})')
  if any(c.disputed for c in classes):
    lines.append('Report and classifier disagree: look again.')
  return lines


def _unlike_lines(report) -> list[str]:
  from input_pipeline.film_statistics import sentence_of

  said = sentence_of(report.looks or [])
  said = said and f'WARNING: {said}: what is written of it means nothing.'
  return textwrap.wrap(said, 78)


def print_report(reporter, paths, report, in_json: bool) -> None:
  """A report for people, 80 columns wide, or as JSON."""
  if in_json:
    print(json.dumps(as_json(reporter, paths, report), indent=1))
    return
  from input_pipeline.film_list import printable

  found = ', '.join(_words_of(f) for f in report.findings)
  for name, text in (
    ('images:', printable(', '.join(str(path) for path in paths))),
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
  if report.classes:
    print('\n'.join(_class_lines(reporter.classifier, report.classes)))
  for line in _unlike_lines(report):
    print(line)
  print(textwrap.fill(reporter.disclaimer, 78))


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog='python -m cmn_jax.predict', description=__doc__.split('\n')[0]
  )
  parser.add_argument('--checkpoint', required=True, help='workdir or step')
  parser.add_argument(
    '--classifier', help='workdir or step of a classifier to be asked too'
  )
  films = parser.add_mutually_exclusive_group(required=True)
  films.add_argument(
    '--image',
    action='append',
    help='PNG, JPEG or DICOM; once for each view of one study, the frontal '
    'one first where no tag or name says the view',
  )
  films.add_argument(
    '--images',
    metavar='FOLDER|CSV|JSONL|GLOB',
    help='many studies: by folder, by a table with the columns image and '
    'perhaps id and view, or by the StudyInstanceUID of DICOM',
  )
  parser.add_argument(
    '--out',
    type=Path,
    metavar='FILE',
    help='of --images: .jsonl or .csv; studies that are in it are left out',
  )
  parser.add_argument(
    '--page',
    type=Path,
    metavar='HTML',
    help='of --images: a page of the first 200 studies beside --out',
  )
  parser.add_argument(
    '--beam_size', type=int, help='beams; as the model was configured without'
  )
  parser.add_argument(
    '--json', action='store_true', help='print JSON, of --image'
  )
  return parser


def _check_flags(parser, args) -> None:
  if args.image and (args.out or args.page):
    parser.error('--out and --page are for --images FOLDER|CSV|JSONL|GLOB')
  for film in set(args.image or ()):
    if args.image.count(film) > 1:
      parser.error(f'--image {film} is there twice: expected each view once')
  if args.images and args.json:
    parser.error('--images writes JSON by --out FILE.jsonl: leave --json out')
  if args.images and not args.out:
    parser.error('--images needs --out FILE.jsonl or FILE.csv')


def main(argv: list[str] | None = None) -> None:
  """Reads the command line; what a person can mend is told in one sentence."""
  stopping.install()
  parser = _parser()
  args = parser.parse_args(argv)
  _check_flags(parser, args)
  from input_pipeline.errors import UserError

  try:
    studies = _named_studies(args)
    reporter, result = _asked(args, studies)
  except (UserError, OSError) as error:
    sys.exit(f'error: {error}')
  if result:
    print_report(reporter, result.films, result.report, args.json)


def _named_studies(args) -> list:
  """Those of --images, or the one of --image, whose films are read once.

  So that what is no film is refused before anything that takes long.
  """
  from input_pipeline.errors import UserError
  from input_pipeline.film_list import read_film_list, study_of
  from input_pipeline.images import read_film

  if args.image:
    for path in args.image:
      read_film(path)
    study = study_of(', '.join(args.image), args.image)
    if study.fault:
      raise UserError(f'--image {study.id}: {study.fault}')
    return [study]
  studies, dropped = read_film_list(args.images)
  for reason, count in dropped.items():
    print(f'left out: {count} x {reason}', file=sys.stderr)
  return studies


def _asked(args, studies):
  """The reporter and the result of --image; None where all is said already."""
  # After the arguments, as in every verb: --help waits for no JAX.
  from cmn_jax import process
  from cmn_jax.loaded import Loaded
  from cmn_jax.own_films import read_own, write_reports
  from cmn_jax.predictor import Predictor, check_count
  from cmn_jax.reporter import Reporter, writes_reports

  process.set_up()
  loaded = Loaded.load(args.checkpoint)
  if not args.images and not writes_reports(loaded):
    # A task of another kind says what it has to say by itself.
    check_count(args.image, loaded.config.data.views)
    result, row = read_own(studies[0], loaded.config.data, loaded)
    _check_films(args, result)
    predictor, batch = Predictor(loaded), {n: x[None] for n, x in row.items()}
    said = predictor.task.describe(predictor.rows(batch), 0)
    said['unlike_training'] = loaded.unlike_training(result.images_IxHxW)
    print(json.dumps({**said, 'clinical_use': False}, indent=1))
    return None, None
  reporter = Reporter.load(loaded, args.classifier)
  if args.images:
    from cmn_jax.predict_many import predict_many

    predict_many(reporter, studies, args.out, args.beam_size, args.page)
    return reporter, None
  check_count(args.image, reporter.config.data.views)
  (result,) = write_reports(reporter, studies, args.beam_size)
  _check_films(args, result)
  return reporter, result


def _check_films(args, result) -> None:
  """Refuses what could not be read; tells another order of the films."""
  from input_pipeline.errors import UserError
  from input_pipeline.film_list import printable
  from input_pipeline.terminal import warn

  if result.error:
    raise UserError(f'--image {result.study.id}: {result.error}')
  if list(result.films) != args.image:
    warn(
      'by the views in their tags or names the films are taken as '
      + printable(', '.join(result.films))
    )


if __name__ == '__main__':
  main()
