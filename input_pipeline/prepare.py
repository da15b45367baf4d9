"""Prepares a folder of any layout: says what is in it, and resizes its films.

  python -m input_pipeline.prepare --source data/openi --out data/prepared

Nothing is written but below --out and to --annotation-out. A call that was
killed resumes where it stopped when it is given again. Beyond one host:

  pip install -r requirements-beam.txt
  python -m input_pipeline.prepare --source /nfs/mimic --out /nfs/prepared \\
    --beam='--runner=FlinkRunner --flink_master=HOST:8081'
"""

import argparse
import dataclasses
import functools
import json
import pathlib
import shlex
import sys
import tempfile
from collections.abc import Sequence

from input_pipeline import beam, stopping
from input_pipeline.atomic_write import write_text
from input_pipeline.config import CHOICES, DataConfig
from input_pipeline.dataset_card import summary, units_of, write_card
from input_pipeline.errors import UserError
from input_pipeline.layouts import detect
from input_pipeline.store import prepared
from input_pipeline.store.beam_shards import write_in_beam
from input_pipeline.store.shards import write_in_threads
from input_pipeline.study import (
  SPLITS,
  DataError,
  Dataset,
  absence,
  check_films,
)

# Fields of `DataConfig` that have a flag, and what it says of itself.
_FLAGS = {
  'split_from': 'annotation.json whose split is taken',
  'sections': 'the text',
  'views': 'films of a study',
  'view_rule': 'which films',
  'min_films': 'fewer listed: left out',
  'stored_size': 'short side, train films',
  'image_size': 'side, val and test films',
  'clean': 'to count words',
  'tokenizer': 'to count in, too',
  'pieces': 'of unigram or bpe',
}


def annotation_of(dataset: Dataset) -> str:
  """R2Gen's annotation of the studies: just as its authors write it.

  Film i of a study is called <id>/<i>.png there.
  """
  annotation = {
    split: [
      {
        'id': study.id,
        'report': study.report,
        'image_path': [
          f'{study.id}/{i}.png' for i, film in enumerate(study.films) if film
        ],
        'split': split,
      }
      for study in dataset.studies[split]
    ]
    for split in SPLITS
  }
  return json.dumps(annotation, indent=0)


def prepare_folder(
  config: DataConfig, out: pathlib.Path, flags: Sequence[str] | None = None
) -> Dataset:
  """Prepares `config.dir` into `out`; returns what is there now.

  What `prepared.json` lists as bad is left out of it.

  Args:
    config: what is read, and what its films are made into.
    out: see `prepared.prepare`.
    flags: Apache Beam's own command line; None does without Beam.
  """
  write = write_in_threads
  if flags is not None:
    beam.load()  # before a long search for films
    write = functools.partial(write_in_beam, flags=flags)
  prepared.refuse_foreign(out)
  dataset = detect.scan(config, out / prepared.UNPACKED)
  prepared.prepare(dataset, config, out, write)
  opened = prepared.open_prepared(out)
  info = opened.info
  return dataclasses.replace(
    dataset,
    studies=opened.studies,
    problems=info['problems'],
    found=info['found'],
  )


def look(config: DataConfig) -> Dataset:
  """What `config.dir` holds; films that are not there matter if any is."""
  with tempfile.TemporaryDirectory() as scratch:
    dataset = detect.refuse_empty(detect.select(config, scratch))
    checked = check_films(dataset)
  if any(checked.studies.values()):
    return checked
  studies = [study for split in SPLITS for study in dataset.studies[split]]
  film = next(film for study in studies for film in study.films if film)
  print(
    'No film of any study is on disk: only the reports are read. Put the films '
    f'where they are looked for, such as {absence(film)}.'
  )
  return dataset


def _parse(argv):
  parser = argparse.ArgumentParser(
    prog='python -m input_pipeline.prepare',
    description=__doc__.split('\n')[0],
    formatter_class=argparse.ArgumentDefaultsHelpFormatter,
  )
  add = parser.add_argument
  add('--source', required=True, help='folder of any layout')
  add('--out', help='prepared folder; without it, only say what is found')
  add('--annotation-out', help="also write R2Gen's annotation.json here")
  add('--beam', help='let Apache Beam prepare: its options, in one string')
  for field in dataclasses.fields(DataConfig):
    if field.name in _FLAGS:
      add(
        '--' + field.name.replace('_', '-'),
        type=field.type,
        default=field.default,
        choices=CHOICES.get(field.name),
        help=_FLAGS[field.name],
      )
  return parser.parse_args(argv)


def _beam_flags(args):
  """Beam's command line, or None where it is not asked for."""
  if args.beam is None:
    return None
  if not args.out:
    raise UserError('--beam prepares a folder: name it, --out FOLDER.')
  try:
    return shlex.split(args.beam)
  except ValueError as error:
    raise UserError(
      f'--beam {args.beam!r} is no command line: {error}.'
    ) from None


def _prepare(args):
  source = pathlib.Path(args.source).resolve()
  for flag in ('out', 'annotation_out'):
    path = getattr(args, flag)
    if path and pathlib.Path(path).resolve().is_relative_to(source):
      raise DataError(
        f'--{flag.replace("_", "-")} {path} lies in the source {args.source}, '
        'into which nothing is written: choose a place elsewhere.'
      )
  config = DataConfig(
    args.source, skip_bad=True, **{name: getattr(args, name) for name in _FLAGS}
  )
  if prepared.is_prepared(args.source):
    raise DataError(
      f'{args.source} is a prepared folder already: train on it with '
      f'--config.data.dir={args.source}, or name the folder that it was '
      'prepared from.'
    )
  flags = _beam_flags(args)
  if args.out:
    out = pathlib.Path(args.out).absolute()
    dataset = prepare_folder(config, out, flags)
  else:
    dataset = look(config)
  units = units_of(dataset, config)
  print(summary(dataset, units))
  if args.annotation_out:
    write_text(args.annotation_out, annotation_of(dataset))
    said = f'{sum(map(len, dataset.studies.values())):,} studies'
    if dataset.problems:
      said += (
        f'; {len(dataset.problems):,} left out, such as '
        f'{dataset.problems[0][:300]}'
      )
    print(f'  wrote {args.annotation_out}: {said}')
  if args.out:
    write_text(out / 'dataset.md', write_card(dataset, config, units))
    print(f'  wrote {out}: see dataset.md there')


def main(argv: Sequence[str] | None = None):
  """Reads the command line and prepares; a UserError is said in a sentence."""
  stopping.install()
  args = _parse(argv)
  try:
    _prepare(args)
  except (UserError, OSError) as error:
    sys.exit(f'error: {error}')


if __name__ == '__main__':
  main()
