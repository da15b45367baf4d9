"""What `predict --images` costs a study, beside `predict` for one at a time.

  python -m benchmarks.predict_many --checkpoint DIR --images FOLDER [--one 5]

FOLDER holds a folder of films for each study. Programs are compiled in a first
run that is not counted. The folder's rate is told with the start of Python and
without it, which a run over a single study measures. Give it an idle machine.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.arguments import command, count

_PREDICT = (sys.executable, '-m', 'cmn_jax.predict')


def _seconds(*arguments: str) -> float:
  """Wall time of one `predict`, as a whole process."""
  begin = time.monotonic()
  done = subprocess.run(
    [*_PREDICT, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
  )
  if done.returncode:
    sys.exit(done.stderr.decode().rstrip())
  return time.monotonic() - begin


def main() -> None:
  """Parses the command line and prints a line for each figure."""
  parser = command('predict_many', __doc__)
  parser.add_argument('--checkpoint', required=True)
  parser.add_argument('--images', type=Path, required=True)
  parser.add_argument('--one', type=count, default=5)
  args = parser.parse_args()
  studies = sorted(path for path in args.images.glob('*') if path.is_dir())
  if len(studies) < 2:
    sys.exit(
      f'error: {args.images} holds {len(studies)} folders of films: expected '
      'one for each study, and two at least'
    )
  checkpoint = f'--checkpoint={args.checkpoint}'

  def single(study: Path) -> float:
    films = [f'--image={film}' for film in sorted(study.iterdir())]
    return _seconds(checkpoint, *films)

  def many(folder: Path) -> float:
    with tempfile.TemporaryDirectory() as out:
      rows = f'--out={out}/reports.jsonl'
      return _seconds(checkpoint, f'--images={folder}', rows)

  single(studies[0])
  first = many(args.images)
  print(f'the folder, programs compiled: {first:.1f} s')
  alone = statistics.median(single(study) for study in studies[: args.one])
  print(f'one at a time, start and all: {alone:.2f} s a study')
  with tempfile.TemporaryDirectory() as one:
    (Path(one) / studies[0].name).symlink_to(studies[0].resolve())
    many(Path(one))
    start = many(Path(one))
  whole = many(args.images)
  rate = len(studies) / whole
  print(
    f'the folder: {len(studies)} studies in {whole:.1f} s, '
    f'{rate:.2f} a second, {rate * alone:.0f} times as many; '
    f'{(len(studies) - 1) / (whole - start):.2f} a second without the '
    f'{start:.1f} s of a folder of one'
  )


if __name__ == '__main__':
  main()
