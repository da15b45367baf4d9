"""ReXrank's entry: a report for each study of its JSON.

  python inference.py --input_json_file iu_xray_test.json \
    --save_json_file predictions.json --img_root_dir images

Each study's object is copied whole, and model_prediction added; studies that
have a report in the output already are left out. The weights are read from the
folder `weights` beside this file, as `python -m cmn_jax.export WORKDIR --to hub
--out weights` writes it, or from --checkpoint.
"""

import argparse
import json
import sys
from pathlib import Path

from cmn_jax.comparison.exports import EMPTY, prose
from input_pipeline import stopping
from input_pipeline.atomic_write import write_text
from input_pipeline.errors import UserError, quoted
from input_pipeline.film_list import FilmStudy, printable
from input_pipeline.study import view_of
from input_pipeline.terminal import progress_bar

PREDICTION = 'model_prediction'
_WEIGHTS = Path(__file__).parent / 'weights'
_SAVED_EVERY = 100  # studies


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--input_json_file', type=Path, required=True)
  parser.add_argument('--save_json_file', type=Path, required=True)
  parser.add_argument('--img_root_dir', type=Path, required=True)
  parser.add_argument('--checkpoint', default=_WEIGHTS, help='as of predict')
  return parser


def read_studies(path: Path) -> dict[str, dict]:
  """ReXrank's object; a bare NaN in it stays one.

  Raises:
    UserError: no such file, or another layout.
  """
  try:
    content = json.loads(path.read_text('utf-8'))
  except (OSError, ValueError) as error:
    raise UserError(f'{path} cannot be read as JSON: {error}') from error
  if not isinstance(content, dict) or not all(
    isinstance(study, dict) for study in content.values()
  ):
    raise UserError(
      f"{path} is of another layout: expected ReXrank's, an object of ids "
      'with an object each'
    )
  return content


def study_of(name: str, fields: dict, root: Path, views: int) -> FilmStudy:
  """The films of one study, its key film first.

  Args:
    name: its id.
    fields: of ReXrank's file.
    root: that the paths start from, even those with a leading slash.
    views: films that the model takes; with one it is the key film.
  """
  named, words = fields.get('image_path'), fields.get('frontal_lateral')
  named = named if isinstance(named, list) else [named] * isinstance(named, str)
  paths = [path for path in named if isinstance(path, str)]
  key = fields.get('key_image_path')
  # Of another length, the words are not of these films.
  known = isinstance(words, list) and len(words) == len(paths) == len(named)
  views_of = dict(zip(paths, map(view_of, words), strict=True)) if known else {}
  if isinstance(key, str):
    paths = [key, *(path for path in paths if path != key)]
  chosen = paths[:1] if views == 1 else paths
  fault = '' if chosen else 'it names no film'
  odd = [path for path in named if not isinstance(path, str)]
  if odd:
    fault = f'its image_path holds {quoted(odd[0])}: expected paths of films'
  return FilmStudy(
    name,
    tuple(str(root / path.lstrip('/')) for path in chosen),
    tuple(views_of.get(path) for path in chosen),
    fault,
  )


def predict(writer, given: dict[str, dict], out: Path, root: Path) -> list[str]:
  """Writes the file of predictions; the reports that it has already stay.

  Args:
    writer: `Writer`, of `Reporter.load`.
    given: studies by id.
    out: the file.
    root: of the films.

  Returns:
    Why studies have no report, but an `EMPTY` one; another call tries them
    again.

  Raises:
    UserError: no file can be written there, or it holds other things.
  """
  from cmn_jax.own_films import write_reports
  from cmn_jax.report_rows import check_place

  check_place('--save_json_file', out)
  known, faults = read_studies(out) if out.exists() else {}, []
  todo = [
    name
    for name in given
    if known.get(name, {}).get(PREDICTION) in (None, EMPTY)
  ]
  views = writer.config.data.views
  studies = [study_of(name, given[name], root, views) for name in todo]
  bar = progress_bar(
    write_reports(writer, studies), total=len(todo), unit=' studies'
  )
  for count, result in enumerate(bar, start=1):
    name, text = result.study.id, EMPTY
    if result.error:
      faults.append(f'{name}: {result.error}')
    else:
      text = prose(result.report.text) or EMPTY
    known[name] = {**given[name], PREDICTION: text}
    if count % _SAVED_EVERY == 0:
      _save(out, known)
  order = [name for name in given if name in known]
  _save(out, {name: known[name] for name in (*order, *known)})
  return faults


def _save(out: Path, studies: dict[str, dict]) -> None:
  # Half a pair of UTF-16, which UTF-8 cannot hold, stays JSON's \ud83d.
  text = json.dumps(studies, indent=1, ensure_ascii=False)
  write_text(out, printable(text) + '\n')


def main(argv: list[str] | None = None) -> None:
  """Reads the command line; what a person can mend is told in one sentence."""
  stopping.install()
  args = _parser().parse_args(argv)
  # After the arguments, as in every verb: --help waits for no JAX.
  from cmn_jax import process
  from cmn_jax.reporter import Reporter

  process.set_up()
  try:
    given = read_studies(args.input_json_file)
    writer = Reporter.load(args.checkpoint)
    faults = predict(writer, given, args.save_json_file, args.img_root_dir)
  except (UserError, OSError) as error:
    sys.exit(f'error: {error}')
  print(printable(f'{len(given)} studies in {args.save_json_file}'))
  if faults:
    print(
      f'{len(faults)} of them could not be read and have the report {EMPTY!r}:',
      *faults,
      sep='\n  ',
      file=sys.stderr,
    )


if __name__ == '__main__':
  main()
