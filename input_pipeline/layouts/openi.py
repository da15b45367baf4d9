"""Reader of Open-i's originals: NLMCXR_reports.tgz and the films' archives.

Archives and folders unpacked from them are read alike. The XML of a study
names its films; nothing there says which of them is the frontal one.
"""

import collections
import pathlib
import xml.etree.ElementTree as ElementTree
import xml.parsers.expat as expat

from input_pipeline.findings import mesh_labels
from input_pipeline.layouts.archives import read_members, unpack
from input_pipeline.layouts.films import (
  film_path,
  index_films,
  indiana_listing,
)
from input_pipeline.study import (
  FILM_SUFFIXES,
  Listing,
  Study,
  join_key,
  number_of,
  path_inside,
  said,
)

REPORTS = ('NLMCXR_reports.tgz', 'ecgen-radiology', 'NLMCXR_reports')
FILM_ARCHIVES = ('NLMCXR_png.tgz', 'NLMCXR_dcm.tgz')
_MAX_XML_BYTES = 2_000_000


def read_openi(folder: pathlib.Path, scratch: pathlib.Path) -> Listing:
  """A `Listing` of the studies in the order of their numbers.

  Film archives are unpacked into `scratch`; the reports are read in place.
  """
  found, dropped = collections.Counter(), collections.Counter()
  studies = _read_studies(folder, scratch, found, dropped)
  return indiana_listing(studies, found, dropped)


def _read_studies(folder, scratch, found, dropped):
  folders = [folder]
  for name in FILM_ARCHIVES:
    if (folder / name).is_file():
      folders.append(unpack(folder / name, scratch, FILM_SUFFIXES, dropped))
  film_of = index_films(folders)
  found['films on disk'] = len(film_of)

  studies, named = [], set()
  for name, content in _read_xmls(folder, dropped):
    found['reports'] += 1
    root = _parse(content, dropped)
    if root is None:
      continue
    images = [image.get('id', '') for image in root.iter('parentImage')]
    if not images:
      dropped['report that names no film'] += 1
      continue
    if any(path_inside(image, folder) is None for image in images):
      dropped['report whose film is outside the folder'] += 1
      continue
    found['films named'] += len(images)
    named.update(join_key(image) for image in images)
    number = _number(root, name)
    if number is None:
      dropped['report whose number is none'] += 1
      continue
    studies.append((number, _study(root, images, film_of, folder)))
  yield from (study for _, study in sorted(studies, key=lambda pair: pair[0]))
  orphans = {key.rsplit('-', 1)[0] for key in film_of if key not in named}
  if orphans:
    dropped['study on disk without a report'] += len(orphans)


def _read_xmls(folder, dropped):
  """Yields (name, bytes) of each report."""
  archive = folder / REPORTS[0]
  if archive.is_file():
    for name, read in read_members(archive, ('.xml',), dropped):
      yield name, read(_MAX_XML_BYTES + 1)
    return
  reports = next(folder / name for name in REPORTS if (folder / name).is_dir())
  for path in reports.rglob('*.xml'):
    if path.is_file():
      with path.open('rb') as file:
        yield path, file.read(_MAX_XML_BYTES + 1)


def _parse(content, dropped):
  """The root of one XML, None if it is not one."""
  if len(content) > _MAX_XML_BYTES:
    dropped[f'report file over {_MAX_XML_BYTES:,} bytes'] += 1
    return None
  try:
    # Entities may refer to each other a thousandfold; a report has none.
    parser = expat.ParserCreate()
    parser.EntityDeclHandler = _refuse_entity
    parser.Parse(content, True)
    return ElementTree.fromstring(content)
  except (ElementTree.ParseError, expat.ExpatError, ValueError, LookupError):
    dropped['report file that is no XML'] += 1
    return None


def _refuse_entity(*_):
  raise ValueError('an entity')


def _number(root, name):
  """Sorts 2 before 10, and twice the same by file name; None of no number."""
  uid = root.find('uId')
  text = '' if uid is None else uid.get('id', '')
  digits = ''.join(c for c in text if c.isdecimal())
  number = number_of(digits or '0')
  return None if number is None else (number, text, str(name))


def _study(root, images, film_of, folder):
  sections = {
    text.get('Label', '').lower(): ''.join(text.itertext())
    for text in root.iter('AbstractText')
  }
  terms = (term.text for term in root.iterfind('MeSH/major'))
  mesh = tuple(filter(said, terms))
  return Study(
    id=images[0].rsplit('-', 1)[0],
    films=tuple(film_path(film_of, f'{image}.png', folder) for image in images),
    views=(None,) * len(images),
    sections=sections,
    mesh=mesh or None,
    labels=mesh_labels(mesh),
  )
