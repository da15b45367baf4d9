"""Prepares a folder of any layout: says what is in it, and resizes its films.

  python -m input_pipeline.prepare --source data/openi --out data/prepared

Nothing is written but below --out and to --annotation-out. A call that was
killed goes on where it stopped when it is given again.
"""

import argparse
import dataclasses
import json
import pathlib
import sys
import tempfile

from input_pipeline.dataset_card import summary, write_card
from input_pipeline.layouts import detect as layouts
from input_pipeline.report_lengths import units_of
from input_pipeline.store import prepared
from input_pipeline.study import (
  SECTIONS,
  SPLITS,
  VIEW_RULES,
  DataError,
  Selection,
  check_films,
)
from input_pipeline.tokenizers import CLEANERS, PIECE_KINDS, needs_pieces


def annotation_of(dataset):
  """R2Gen's annotation of the studies, as bytes: just as its authors write it.

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
  return json.dumps(annotation, indent=0).encode()


def prepare_folder(source, selection, sizes, out):
  """Prepares `source` into `out`; returns the `Dataset` that is there now.

  What `prepared.json` lists as bad is left out of it.
  """
  prepared.refuse_foreign(out)
  if out.is_relative_to(pathlib.Path(source).absolute()):
    raise DataError(
      f'--out {out} lies in the source {source}, into which nothing is '
      'written: choose a folder elsewhere.'
    )
  dataset = layouts.scan(source, selection, out / prepared.UNPACKED)
  prepared.prepare(dataset, sizes, out, skip_bad=True)
  opened = prepared.open_prepared(out)
  return dataclasses.replace(
    dataset, studies=opened.studies, problems=opened.info['problems']
  )


def _note(dataset, sizes):
  return (
    f'Films: {sizes.views} of each study (view_rule {dataset.view_rule}, '
    f'min_films {dataset.min_films}); train films with a short side of '
    f'{sizes.stored_size} pixels, val and test films {sizes.image_size} x '
    f'{sizes.image_size}.'
  )


def _parse(argv):
  parser = argparse.ArgumentParser(
    prog='python -m input_pipeline.prepare',
    description=__doc__.split('\n')[0],
    formatter_class=argparse.ArgumentDefaultsHelpFormatter,
  )
  add = parser.add_argument
  add('--source', required=True, help='folder of any layout')
  add('--out', help='prepared folder; without it, only say what is found')
  add('--split-from', help='annotation.json whose split is taken')
  add('--sections', choices=SECTIONS, default='findings', help='the text')
  add('--annotation-out', help="also write R2Gen's annotation.json here")
  add('--views', type=int, default=2, help='films of a study')
  add('--view-rule', choices=VIEW_RULES, default='first', help='which films')
  add('--min-films', type=int, default=2, help='fewer listed: left out')
  add('--stored-size', type=int, default=256, help='short side, train films')
  add('--image-size', type=int, default=224, help='side, val and test films')
  add('--clean', choices=CLEANERS, default='iu_xray', help='to count words')
  kinds = ('words', *PIECE_KINDS)
  add('--tokenizer', choices=kinds, default='words', help='to count in, too')
  add('--pieces', type=int, default=0, help='of unigram or bpe')
  return parser.parse_args(argv)


def main(argv=None):
  """Reads the command line; what a person can mend is told in one sentence."""
  args = _parse(argv)
  try:
    selection = Selection(
      sections=args.sections,
      views=args.views,
      view_rule=args.view_rule,
      min_films=args.min_films,
      split_from=args.split_from,
    )
    needs_pieces(args.tokenizer, args.pieces)  # said before the long work
    if prepared.is_prepared(args.source):
      raise DataError(
        f'{args.source} is a prepared folder already: train on it with '
        f'--config.data.dir={args.source}, or name the folder that it was '
        'prepared from.'
      )
    sizes = prepared.Sizes(args.views, args.stored_size, args.image_size)
    if args.out:
      out = pathlib.Path(args.out).absolute()
      dataset = prepare_folder(args.source, selection, sizes, out)
    else:
      with tempfile.TemporaryDirectory() as scratch:
        dataset = layouts.select(args.source, selection, scratch)
        checked = check_films(dataset)
      if any(checked.studies.values()):
        dataset = checked
      else:
        print('No film of any study is on disk: only the reports are read.')
    units = units_of(dataset, args.clean, args.tokenizer, args.pieces)
    print(summary(dataset, units))
    if args.annotation_out:
      pathlib.Path(args.annotation_out).write_bytes(annotation_of(dataset))
      print(f'  wrote {args.annotation_out}')
    if args.out:
      card = write_card(dataset, args.clean, units, [_note(dataset, sizes)])
      (out / 'dataset.md').write_text(card)
      print(f'  wrote {out}: see dataset.md there')
  except (DataError, ValueError, OSError) as error:
    sys.exit(f'error: {error}')


if __name__ == '__main__':
  main()
