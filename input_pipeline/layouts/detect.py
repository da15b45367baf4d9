"""Which layout a folder has, and its selected studies."""

import dataclasses
import hashlib
import pathlib

from input_pipeline.config import SECTIONS, DataConfig
from input_pipeline.errors import plain_or_quoted
from input_pipeline.layouts import (
  kaggle,
  mimic_cxr,
  openi,
  r2gen,
  splits,
  table,
)
from input_pipeline.study import (
  SHOWN,
  SPLITS,
  DataError,
  Dataset,
  Listing,
  Study,
  check_films,
  choose_films,
  no_study_left,
  report_of,
)
from input_pipeline.terminal import warn

# Layout: the files or folders that mark it, and its reader. The first one
# with any of its marks (or the same name with .gz behind it) is taken.
LAYOUTS = {
  'R2Gen': ((r2gen.ANNOTATION,), r2gen.read_r2gen),
  'Kaggle': ((kaggle.REPORTS, *kaggle.ARCHIVES), kaggle.read_kaggle),
  'Open-i': (openi.REPORTS, openi.read_openi),
  'MIMIC-CXR-JPG': ((mimic_cxr.METADATA,), mimic_cxr.read_mimic_cxr),
  'table': ((table.CSV, table.JSON_LINES), table.read_table),
}

_ALL_LAYOUTS = """\
Expected one of these in the folder:
  annotation.json   R2Gen: {"train": [{"id", "report", "image_path": [..]}], \
"val", "test"},
                    and images/, the films that image_path names
  indiana_reports.csv, indiana_projections.csv and the films    Kaggle
  NLMCXR_reports.tgz and NLMCXR_png.tgz, or what is in them     Open-i
  mimic-cxr-2.0.0-metadata.csv, -split.csv and files/           MIMIC-CXR-JPG
  reports.csv or reports.jsonl with id, report, image           any other
To make a phantom to try things on:
  python -m input_pipeline.phantom --out DIR --studies 1600 --seed 1"""


def find_layout(folder: str | pathlib.Path) -> str:
  """The key of `LAYOUTS` that `folder` has; DataError if it has none."""
  folder = pathlib.Path(folder)
  if not folder.is_dir():
    raise DataError(f'No data: there is no folder {folder}.\n{_ALL_LAYOUTS}')
  found = {
    layout: name
    for layout, (marks, _) in LAYOUTS.items()
    for name in (n for m in reversed(marks) for n in (m + '.gz', m))
    if (folder / name).exists()
  }
  if len(found) > 1:
    listed = ', '.join(f'{layout} ({name})' for layout, name in found.items())
    warn(
      f'{folder} holds several layouts: {listed}. The first is read; to read '
      'another, move that file elsewhere (an annotation.json may be '
      'data.split_from).'
    )
  if found:
    return next(iter(found))
  names = sorted(path.name for path in folder.iterdir())
  listed = ', '.join(names[:8]) + (', ...' if len(names) > 8 else '')
  raise DataError(
    f'No data that is known in {folder} (it holds: {listed or "nothing"}).\n'
    f'{_ALL_LAYOUTS}'
  )


def scan(config: DataConfig, scratch: str | pathlib.Path) -> Dataset:
  """The studies of `config.dir`, a folder of any layout, and their films.

  Nothing is written into the folder.

  Args:
    config: which studies are selected, and what of them.
    scratch: where archives are unpacked to.

  Raises:
    DataError: no known layout, a damaged file, or a split without a study.
  """
  dataset = check_films(refuse_empty(select(config, scratch)))
  for split in SPLITS:
    if not dataset.studies[split]:
      dropped = [
        f'{n} dropped: {why}' for why, n in dataset.dropped.items() if n
      ]
      raise no_study_left(dataset.folder, split, [*dropped, *dataset.problems])
  return dataset


def select(config: DataConfig, scratch: str | pathlib.Path) -> Dataset:
  """As `scan`, but films that are only named are taken to be there."""
  folder = pathlib.Path(config.dir).absolute()
  layout = find_layout(folder)
  _, read = LAYOUTS[layout]
  listing = read(folder, pathlib.Path(scratch))
  kept = _keep(listing, config)
  _check_sections(folder, kept, config.sections)
  kept, split_name = _split(listing, kept, config)
  studies = {split: [] for split in SPLITS}
  key = layout, listing.name, listing.label_source, split_name
  digest = hashlib.sha256(repr((key, config.selection)).encode())
  for study in kept:
    studies[study.split].append(study)
    # Not the paths: a folder may be moved.
    digest.update(repr(dataclasses.replace(study, films=())).encode())
  return Dataset(
    folder=str(folder),
    layout=layout,
    name=listing.name,
    label_source=listing.label_source,
    split_name=split_name,
    licence=listing.licence,
    studies=studies,
    problems=listing.problems or [],
    found=dict(listing.found),
    dropped=dict(listing.dropped),
    fingerprint=digest.hexdigest(),
  )


def _keep(listing: Listing, config: DataConfig) -> list[Study]:
  """The studies with a text and enough films, each id once."""
  kept, seen = [], set()
  for study in listing.studies:
    report = report_of(study, config.sections)
    chosen = choose_films(study, config)
    if not report:
      fault = f'empty {config.sections}'
    elif not _is_unicode(report, study.id, *study.films):
      fault = 'text that is no Unicode'
    elif len(study.films) < config.min_films:
      fault = f'fewer than {config.min_films} films'
    elif study.id in seen:
      fault = 'id that was used before'
    elif not any(chosen.films):
      fault = f'no film for view_rule {config.view_rule!r}'
    else:
      seen.add(study.id)
      kept.append(dataclasses.replace(chosen, report=report))
      continue
    if listing.problems is None:
      listing.dropped[fault] += 1
    else:
      name = plain_or_quoted(study.id)
      listing.problems.append(f'{study.split}/{name}: {fault}')
  return kept


def _is_unicode(*texts):
  """Whether they can be written: JSON may hold halves of characters."""
  try:
    return bool(''.join(texts).encode())
  except UnicodeEncodeError:
    return False


# Why studies are left out, and what mends it.
_REMEDIES = {
  'fewer than ': 'set data.min_films=1 (--min-films 1) to keep these',
  'no film for view_rule': 'this folder does not say the views of its films: '
  "set data.view_rule='first' (--view-rule first), or give their views",
  'outside': 'name images by paths that start at the folder',
  'not in the split file': 'is that the split of these data?',
  'no split named': 'name a split in each row, or in none',
  'empty ': 'is the text in another section, or column?',
}


def refuse_empty(dataset: Dataset) -> Dataset:
  """The data set; DataError with the causes if all studies are left out."""
  if any(dataset.studies.values()):
    return dataset
  reasons = [f'{n} dropped: {why}' for why, n in dataset.dropped.items() if n]
  reasons += dataset.problems
  remedies = [
    remedy
    for start, remedy in _REMEDIES.items()
    if any(start in reason for reason in reasons)
  ]
  kept = SHOWN - len(remedies)
  raise no_study_left(dataset.folder, None, [*reasons[:kept], *remedies])


def _check_sections(folder, kept, sections):
  """Raises DataError where no study has what is to be added to the text."""
  last = SECTIONS[sections][-1]
  if kept and not any(study.sections.get(last) for study in kept):
    raise DataError(
      f'no study in {folder} has the section {last!r}: with data.sections='
      f'{sections!r} the text would be that of another name.'
    )


def _split(listing, kept, config):
  """The studies with their split, and the name of that."""
  if config.split_from:
    entries = splits.read_split_file(config.split_from)
    name = pathlib.Path(config.split_from).name
    return _split_from(entries, kept, listing.dropped), name
  if listing.split_name is not None:
    named = [study for study in kept if study.split]
    listing.dropped['no split named'] += len(kept) - len(named)
    return named, listing.split_name
  chosen = splits.hash_split(kept)
  pairs = zip(kept, chosen, strict=True)
  kept = [dataclasses.replace(study, split=split) for study, split in pairs]
  return kept, splits.HASH_SPLIT


def _split_from(entries, kept, dropped):
  """The studies that the split file names, with its ids, in its order."""
  ranked = []
  for study in kept:
    entry = entries.get(splits.study_key(study.id))
    if entry is None:
      dropped['not in the split file'] += 1
      continue
    name, split, rank = entry
    study = dataclasses.replace(study, id=name, split=split)
    ranked.append((rank, study))
  missing = len(entries) - len(ranked)
  if missing:
    dropped['only in the split file'] += missing
  return [study for _, study in sorted(ranked, key=lambda pair: pair[0])]
