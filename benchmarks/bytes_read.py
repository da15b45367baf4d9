"""What each process of a training job reads of a prepared folder, in bytes.

  python -m benchmarks.bytes_read [--source DIR] [--processes 2]

Without --source it draws a phantom and prepares it. Every process is one of
the operating system's; what it has read is the kernel's count (`rchar` of
/proc/self/io), of opening the folder and of an epoch of training batches.
"""

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.arguments import command, count
from input_pipeline.batches import steps_per_epoch, train_batches
from input_pipeline.config import DataConfig
from input_pipeline.data import open_data
from input_pipeline.errors import UserError
from input_pipeline.phantom.write import write_phantom
from input_pipeline.prepare import prepare_folder
from input_pipeline.tensorflow_cpu import load


def measure(
  source: Path | str, batch: int, process: int, processes: int
) -> dict[str, int]:
  """Bytes that this process reads: {'opening', 'epoch'}.

  Args:
    source: a prepared folder.
    batch: studies of a batch, of all processes.
    process: which one this is, from 0.
    processes: how many there are.
  """
  load('tensorflow_datasets')  # whose own files are none of the folder's
  begin = _read_so_far()
  config = DataConfig(dir=str(source))
  data = open_data(config)
  opened = _read_so_far()
  batches = train_batches(
    data,
    batch_size=batch,
    seed=1,
    augmentation=config.augmentation,
    process_index=process,
    process_count=processes,
  )
  for _ in itertools.islice(batches, steps_per_epoch(data, 'train', batch)):
    pass
  return {'opening': opened - begin, 'epoch': _read_so_far() - opened}


def _read_so_far() -> int:
  fields = dict(
    line.split(': ') for line in Path('/proc/self/io').read_text().splitlines()
  )
  return int(fields['rchar'])


def _in_a_process(source, batch, process, processes) -> dict[str, int]:
  done = subprocess.run(
    [
      *(sys.executable, '-m', 'benchmarks.bytes_read'),
      *('--source', str(source), '--batch', str(batch)),
      *('--process', str(process), '--processes', str(processes)),
    ],
    cwd=Path(__file__).parent.parent,
    stdout=subprocess.PIPE,
    text=True,
    check=True,
  )
  return json.loads(done.stdout)


def _parse(argv) -> argparse.Namespace:
  parser = command('bytes_read', __doc__)
  add = parser.add_argument
  add('--source', help='prepared folder; a phantom without it')
  add('--batch', type=count, default=16, help='studies, of all processes')
  add('--studies', type=count, default=300, help='of the phantom')
  add('--processes', type=count, default=2, help='of the job')
  add('--process', type=int, help='be this one, and print its bytes as JSON')
  args = parser.parse_args(argv)
  if args.process is not None and not args.source:
    parser.error('--process reads a folder: name it, --source FOLDER')
  if args.batch % args.processes:
    parser.error(
      f'--processes {args.processes} do not divide --batch {args.batch}'
    )
  return args


def _compare(args, source: Path) -> None:
  films = sum(f.stat().st_size for f in source.glob('*-train.array_record-*'))
  print(f'{source}: {films:,} bytes of training studies; bytes read:')
  for processes in (1, args.processes):
    for process in range(processes):
      bytes_of = _in_a_process(source, args.batch, process, processes)
      said = ', '.join(f'{what} {n:,}' for what, n in bytes_of.items())
      print(f'  process {process} of {processes}: {said}')


def main(argv: list[str] | None = None) -> None:
  """Reads the command line; prints a line for each process, and for one."""
  args = _parse(argv)
  try:
    if args.process is not None:
      print(
        json.dumps(
          measure(args.source, args.batch, args.process, args.processes)
        )
      )
      return
    with tempfile.TemporaryDirectory() as folder:
      source = args.source and Path(args.source)
      if source is None:
        drawn, source = Path(folder, 'drawn'), Path(folder, 'prepared')
        write_phantom(drawn, args.studies, 1, 256, 1)
        prepare_folder(DataConfig(str(drawn)), source)
      _compare(args, source)
  except UserError as error:
    sys.exit(f'error: {error}')


if __name__ == '__main__':
  main()
