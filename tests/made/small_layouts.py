"""Writes the same made-up studies in each of the layouts that people have."""

import csv
import io
import json
import shutil
import tarfile
import zipfile
from xml.sax.saxutils import escape

from PIL import Image

from tests.made.r2gen_folder import film

# (number, series, last parts of the film names, findings, impression, MeSH)
ODD = (
  (1, '1_IM-0001', ('3001', '4001'), 'Heart is of normal size.', 'Normal.',
   ('normal',)),
  (20, 'IM-0652', ('1001', '2001', '3001', '4001', '5001'),
   'Heart large, lungs clear.', 'Large heart.', ('Cardiomegaly/mild',)),
  (3, 'IM-1384', ('1001',), 'Only one film here.', 'One.', ('normal',)),
  (5, 'IM-2117', (), 'No film at all.', 'None.', ('normal',)),
  (4, 'IM-2050', ('1001', '2001'), '', 'Findings are empty.', ('normal',)),
  (6, 'IM-2192-0001', ('1001', '2001'), 'Left "apical" scar; naïve 30°.',
   'Scar.', ('No Indexing',)),
  (7, 'IM-2263', ('1001', '2001'), 'Effusion, small, on the right.',
   'Effusion.', ('Pleural Effusion/right/small', 'Cardiomegaly')),
)  # fmt: skip


def many(count):
  """Plain studies, enough of them for every part of a split."""
  return tuple(
    (
      100 + n,
      f'IM-{n:04}',
      ('1001', '2001'),
      f'Lungs are clear on both sides of patient {n}.'
      if n % 3
      else f'There is an opacity in the lung of patient {n}.',
      'Stable.',
      ('normal',) if n % 3 else ('Opacity/lung',),
    )
    for n in range(count)
  )


def film_names(study):
  """Names of the films as in the XML, without 'CXR'."""
  number, series, parts = study[:3]
  return [f'{number}_{series}-{part}' for part in parts]


def png(name):
  """Bytes of the film that is drawn for one film name."""
  seed = [ord(letter) for letter in name.removeprefix('1_1_')]
  file = io.BytesIO()
  Image.fromarray(film(seed)).save(file, 'PNG')
  return file.getvalue()


def xml(study):
  """The report of one study, as Open-i's files have it."""
  number, _, _, findings, impression, mesh = study
  sections = ''.join(
    f'<AbstractText Label="{name}">{escape(text)}</AbstractText>\n'
    for name, text in (
      ('COMPARISON', 'None.'),
      ('INDICATION', 'Cough'),
      ('FINDINGS', findings),
      ('IMPRESSION', impression),
    )
  )
  terms = ''.join(f'<major>{term}</major>' for term in mesh)
  films = ''.join(
    f'<parentImage id="CXR{name}"><figureId>F</figureId></parentImage>\n'
    for name in film_names(study)
  )
  return (
    f'<?xml version="1.0" encoding="utf-8"?>\n<eCitation>\n'
    f'<uId id="CXR{number}"/>\n<MedlineCitation><Article><Abstract>\n'
    f'{sections}</Abstract></Article></MedlineCitation>\n'
    f'<MeSH>{terms}</MeSH>\n{films}</eCitation>'
  ).encode()


def write_tar(path, members):
  """A .tgz of {name: bytes}."""
  with tarfile.open(path, 'w:gz') as tar:
    for name, content in members.items():
      member = tarfile.TarInfo(name)
      member.size = len(content)
      tar.addfile(member, io.BytesIO(content))


def write_openi(folder, studies, unpacked=False):
  """Open-i's archives, or the folders that come out of them."""
  folder.mkdir()
  reports = {f'ecgen-radiology/{s[0]}.xml': xml(s) for s in studies}
  films = {f'CXR{n}.png': png(n) for s in studies for n in film_names(s)}
  if not unpacked:
    write_tar(folder / 'NLMCXR_reports.tgz', reports)
    write_tar(folder / 'NLMCXR_png.tgz', films)
    return
  for name, content in (
    reports | {f'png/{n}': c for n, c in films.items()}
  ).items():
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)


def kaggle_name(name):
  """Kaggle has no second number: 1_1_IM-0001-3001 is 1_IM-0001-3001 there."""
  return name.replace('1_1_', '1_', 1) + '.dcm.png'


def write_csv(path, header, rows, encoding='utf-8', end='\n'):
  """A CSV file with every quirk that is asked for."""
  with path.open('w', encoding=encoding, newline='') as file:
    csv.writer(file, lineterminator=end).writerows([header, *rows])


def write_kaggle(folder, studies, encoding='utf-8', end='\n', archive=False):
  """Kaggle's two CSVs and its films, or the archive of them."""
  films = folder / 'images' / 'images_normalized'
  films.mkdir(parents=True)
  write_csv(
    folder / 'indiana_reports.csv',
    ('uid', 'MeSH', 'Problems', 'image', 'indication', 'comparison',
     'findings', 'impression'),
    [
      (s[0], ';'.join(s[5]), '', 'Xray Chest PA and Lateral', 'Cough', 'None.',
       s[3], s[4])
      for s in studies
    ],
    encoding,
    end,
  )  # fmt: skip
  names = [(s[0], i, n) for s in studies for i, n in enumerate(film_names(s))]
  write_csv(
    folder / 'indiana_projections.csv',
    ('uid', 'filename', 'projection'),
    [
      (number, kaggle_name(name), 'Lateral' if i else 'Frontal')
      for number, i, name in reversed(names)
    ],
    encoding,
    end,
  )
  for _, _, name in names:
    (films / kaggle_name(name)).write_bytes(png(name))
  if archive:
    with zipfile.ZipFile(folder.parent / 'archive.zip', 'w') as file:
      for path in sorted(folder.rglob('*.*')):
        file.write(path, path.relative_to(folder))
    shutil.rmtree(folder)
    folder.mkdir()
    (folder.parent / 'archive.zip').rename(folder / 'archive.zip')


def write_table(folder, rows, lines=False):
  """reports.csv or reports.jsonl of dicts with the same keys; films 0 to 9."""
  folder.mkdir()
  if lines:
    text = ''.join(json.dumps(row) + '\n' for row in rows)
    (folder / 'reports.jsonl').write_text(text)
  else:
    header = list(rows[0])
    values = [[row[name] for name in header] for row in rows]
    write_csv(folder / 'reports.csv', header, values)
  for number in range(10):
    Image.fromarray(film(number)).save(folder / f'{number}.png')


# (subject, study, [(film, ViewPosition)], split, text of the report)
MIMIC = tuple(
  (
    10_000_032 + n // 2,
    50_000_000 + n,
    [(f'{n:08x}-00000000-{view}', view) for view in ('PA', 'LATERAL')],
    ('train', 'validate', 'test')[n % 3],
    f' FINAL REPORT\n EXAMINATION:  CHEST\n\n FINDINGS:\n\n The lungs are\n'
    f' clear in {n}.\n\n IMPRESSION: Nothing acute.\n',
  )
  for n in range(9)
)  # fmt: skip


def write_mimic(folder, studies=MIMIC):
  """MIMIC-CXR-JPG with the reports beside the films."""
  folder.mkdir()
  write_csv(
    folder / 'mimic-cxr-2.0.0-metadata.csv',
    ('dicom_id', 'subject_id', 'study_id', 'ViewPosition', 'Rows', 'Columns'),
    [(name, s[0], s[1], view, 9, 9) for s in studies for name, view in s[2]],
  )
  write_csv(
    folder / 'mimic-cxr-2.0.0-split.csv',
    ('dicom_id', 'study_id', 'subject_id', 'split'),
    [(name, s[1], s[0], s[3]) for s in studies for name, _ in s[2]],
  )
  for subject, study, films, _, text in studies:
    parent = folder / 'files' / f'p{subject // 10**6}' / f'p{subject}'
    (parent / f's{study}').mkdir(parents=True)
    if text is not None:
      (parent / f's{study}.txt').write_text(text)
    for name, _ in films:
      (parent / f's{study}' / f'{name}.jpg').write_bytes(png(name))
