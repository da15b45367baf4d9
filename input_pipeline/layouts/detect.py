"""Which layout a folder has, and its selected studies."""

import dataclasses
import hashlib
import pathlib

from input_pipeline.layouts import (
  kaggle,
  mimic_cxr,
  openi,
  r2gen,
  splits,
  table,
)
from input_pipeline.study import (
  SPLITS,
  DataError,
  Dataset,
  check_films,
  choose_films,
  no_study_left,
  report_of,
)

# Layout: the files or folders that mark it, and its reader. The first one
# with any of its marks (or the same name with .gz behind it) is taken.
LAYOUTS = {
  'R2Gen': (('annotation.json',), None),
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


def find_layout(folder):
  """The key of `LAYOUTS` that `folder` has; DataError if it has none."""
  folder = pathlib.Path(folder)
  if not folder.is_dir():
    raise DataError(f'No data: there is no folder {folder}.\n{_ALL_LAYOUTS}')
  for layout, (marks, _) in LAYOUTS.items():
    if any((folder / name).exists() for m in marks for name in (m, m + '.gz')):
      return layout
  names = sorted(path.name for path in folder.iterdir())
  listed = ', '.join(names[:8]) + (', ...' if len(names) > 8 else '')
  raise DataError(
    f'No data that is known in {folder} (it holds: {listed or "nothing"}).\n'
    f'{_ALL_LAYOUTS}'
  )


def scan(folder, selection, scratch):
  """The `Dataset` of a folder of any layout, its films looked for on disk.

  Args:
    folder: of the user's; nothing is written there.
    selection: a `Selection`.
    scratch: where archives are unpacked to.
  """
  dataset = check_films(select(folder, selection, scratch))
  for split in SPLITS:
    if not dataset.studies[split]:
      dropped = [f'{n} dropped: {why}' for why, n in dataset.dropped.items()]
      raise no_study_left(folder, split, [*dropped, *dataset.problems])
  return dataset


def select(folder, selection, scratch):
  """As `scan`, but films that are only named are taken to be there."""
  folder = pathlib.Path(folder).absolute()
  layout = find_layout(folder)
  _, read = LAYOUTS[layout]
  if read is None:
    return r2gen.scan_annotation(folder, selection)
  listing = read(folder, pathlib.Path(scratch))
  kept = _keep(listing, selection)
  kept, split_name = _split(listing, kept, selection)
  studies = {split: [] for split in SPLITS}
  digest = hashlib.sha256(repr((layout, selection, split_name)).encode())
  for study in kept:
    studies[study.split].append(study)
    digest.update(repr((study.id, study.split, study.report)).encode())
  return Dataset(
    folder=str(folder),
    layout=layout,
    name=listing.name,
    label_source=listing.label_source,
    split_name=split_name,
    sections=selection.sections,
    view_rule=selection.view_rule,
    min_films=selection.min_films,
    licence=listing.licence,
    studies=studies,
    problems=[],
    found=dict(listing.found),
    dropped=dict(listing.dropped),
    fingerprint=digest.hexdigest(),
  )


def _keep(listing, selection):
  """The studies with a text and enough films, each id once."""
  kept, seen = [], set()
  for study in listing.studies:
    report = report_of(study, selection.sections)
    if not report:
      listing.dropped[f'empty {selection.sections}'] += 1
    elif len(study.films) < selection.min_films:
      listing.dropped[f'fewer than {selection.min_films} films'] += 1
    elif study.id in seen:
      listing.dropped['id that was used before'] += 1
    elif not any((chosen := choose_films(study, selection)).films):
      listing.dropped[f'no film for view_rule {selection.view_rule!r}'] += 1
    else:
      seen.add(study.id)
      kept.append(dataclasses.replace(chosen, report=report))
  return kept


def _split(listing, kept, selection):
  """The studies with their split, and the name of that."""
  if selection.split_from is not None:
    entries, name = splits.read_split_file(selection.split_from)
    return _split_from(entries, kept, listing.dropped), name
  if listing.split_name is not None:
    named = [study for study in kept if study.split]
    listing.dropped['no split named'] += len(kept) - len(named)
    return named, listing.split_name
  if not kept:
    return [], splits.HASH_SPLIT
  chosen = splits.hash_split(kept)
  pairs = zip(kept, chosen, strict=True)
  return [dataclasses.replace(study, split=s) for study, s in pairs], (
    splits.HASH_SPLIT
  )


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
