"""What is damaged: small valid files, where they lie, and who reads them."""

import dataclasses
import functools
import importlib.util
import io
import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import safetensors.numpy
from PIL import Image
from pydicom import uid
from pydicom.encaps import encapsulate

from cmn_jax.comparison.others import read_predictions
from cmn_jax.interop import files
from cmn_jax.loaded import Loaded
from cmn_jax.report_rows import _COLUMNS, ReportRows
from cmn_jax.training import checkpoints, hub, meta_fields
from configs import phantom
from input_pipeline.config import DataConfig
from input_pipeline.film_list import read_film_list
from input_pipeline.film_statistics import fit_statistics, statistics_of
from input_pipeline.findings import CHEXPERT_14
from input_pipeline.images import read_film
from input_pipeline.label_file import read_label_file
from input_pipeline.layouts.detect import scan
from tests.made import small_layouts
from tests.made.dicom_file import write_dicom
from tests.made.r2gen_folder import film, write_r2gen

HAS_TORCH = importlib.util.find_spec('torch') is not None


@dataclasses.dataclass(frozen=True)
class Seed:
  """A valid file.

  Attributes:
    kind: row of the table.
    path: of the file; what else its reader needs lies beside it.
    read: reads it, given its path and a folder for what it unpacks.
    content: its bytes.
  """

  kind: str
  path: Path
  read: Callable[[Path, Path], object]
  content: bytes


def make_seeds(root: Path) -> list[Seed]:
  """All of them; the files are written below `root`."""
  return [
    *_pictures(root / 'pictures'),
    *_dicoms(root / 'dicom'),
    *_layouts(root / 'layouts'),
    *_tables(root / 'tables'),
    *_metas(root / 'meta'),
    *_weights(root / 'weights'),  # the one that may lack torch is the last
  ]


def _seed(kind, path, read, content=None):
  path.parent.mkdir(parents=True, exist_ok=True)
  if content is not None:
    path.write_bytes(content)
  return Seed(kind, path, read, path.read_bytes())


def _film(path, scratch):
  shown = read_film(path)
  assert shown.dtype == np.uint8 and shown.ndim == 2, shown.shape


def _encoded(picture, form, **options):
  file = io.BytesIO()
  picture.save(file, form, **options)
  return file.getvalue()


def _pictures(root):
  grey = Image.fromarray(film(1))
  wide = Image.fromarray(film(1).astype(np.uint16) * 200)
  exif = Image.Exif()
  exif[0x0112] = 6
  for n, (kind, content) in enumerate((
    ('PNG', _encoded(grey, 'PNG')),
    ('PNG', _encoded(wide, 'PNG')),
    ('PNG', _encoded(grey.convert('P'), 'PNG', transparency=3)),
    ('PNG', _encoded(grey.convert('RGBA'), 'PNG', exif=exif)),
    ('JPEG', _encoded(grey, 'JPEG', exif=exif)),
    ('JPEG', _encoded(grey.convert('RGB'), 'JPEG', progressive=True)),
    ('JPEG', _encoded(grey.convert('CMYK'), 'JPEG')),
  )):  # fmt: skip
    yield _seed(kind, root / f'{n}.{kind.lower()}', _film, content)


def _dicoms(root):
  root.mkdir()
  grey = film(2)[:40, :40]
  wide = grey.astype(np.uint16) * 16
  frames = [
    (uid.JPEGBaseline8Bit, _encoded(Image.fromarray(grey), 'JPEG')),
    (uid.JPEG2000, _encoded(Image.fromarray(grey), 'JPEG2000')),
    (uid.RLELossless, b'\1\0\0\0@' + bytes(59) + b'\x81\7' * 12 + b'\xc1\7'),
  ]
  syntaxes = (uid.ImplicitVRLittleEndian, uid.DeflatedExplicitVRLittleEndian)
  plain = {'WindowCenter': 2000, 'WindowWidth': 3000, 'RescaleSlope': 1}
  for n, (pixels, tags) in enumerate((
    (grey, {}),
    (wide, {'bits': 12, **plain}),
    (wide.astype(np.int16), {'PhotometricInterpretation': 'MONOCHROME1'}),
    (np.stack([grey] * 3, -1), {'PhotometricInterpretation': 'RGB'}),
    *((wide, {'syntax': syntax, **plain}) for syntax in syntaxes),
    *((grey, {'syntax': s, 'data': encapsulate([f])}) for s, f in frames),
  )):  # fmt: skip
    path = root / f'{n}.dcm'
    write_dicom(path, pixels, SOPInstanceUID='1.2.3', **tags)
    yield _seed('DICOM', path, _film)


def _scan(folder, path, scratch, **changes):
  """As the first step of `prepare`, and then the first films."""
  config = DataConfig(dir=str(folder), min_films=1, **changes)
  dataset = scan(config, scratch)
  for studies in dataset.studies.values():
    for name in studies[0].films if studies else ():
      _ = name and read_film(name)


def _layouts(root):
  root.mkdir()
  studies = small_layouts.many(30)
  r2gen, openi = root / 'r2gen', root / 'openi'
  r2gen.mkdir()
  write_r2gen(r2gen, {'train': 2, 'val': 1, 'test': 1})
  small_layouts.write_openi(openi, studies)
  small_layouts.write_openi(root / 'unpacked', studies, unpacked=True)
  small_layouts.write_kaggle(root / 'kaggle', studies)
  small_layouts.write_kaggle(root / 'zip', studies, archive=True)
  small_layouts.write_mimic(root / 'mimic')
  rows = [
    {'id': n, 'report': f'Clear lungs {n}.', 'image': [f'{n}.png']}
    for n in range(10)
  ]
  cells = [r | {'image': r['image'][0], 'view': 'PA', 'mesh': ''} for r in rows]
  small_layouts.write_table(root / 'csv', cells)
  small_layouts.write_table(root / 'jsonl', rows, lines=True)
  labels = dict.fromkeys(CHEXPERT_14, '1')
  small_layouts.write_csv(
    root / 'mimic' / 'mimic-cxr-2.0.0-chexpert.csv',
    ('subject_id', 'study_id', *CHEXPERT_14),
    [(s[0], s[1], *labels.values()) for s in small_layouts.MIMIC],
  )
  described = json.dumps({'name': 'iu_xray', 'label_source': None}).encode()
  views = b'id,film,view\ntrain-0,0,Frontal\ntrain-0,1,Lateral\n'
  split = r2gen / 'annotation.json'
  report = next((root / 'mimic').rglob('s*.txt'))
  for kind, path, content in (
    ('annotation', split, None),
    ('JSON', r2gen / 'dataset.json', described),
    ('CSV', r2gen / 'views.csv', views),
    ('tar', openi / 'NLMCXR_reports.tgz', None),
    ('tar', openi / 'NLMCXR_png.tgz', None),
    ('XML', root / 'unpacked' / 'ecgen-radiology' / '100.xml', None),
    ('CSV', root / 'kaggle' / 'indiana_reports.csv', None),
    ('CSV', root / 'kaggle' / 'indiana_projections.csv', None),
    ('zip', root / 'zip' / 'archive.zip', None),
    *(('CSV', p, None) for p in sorted((root / 'mimic').glob('*.csv'))),
    ('report text', report, None),
    ('CSV', root / 'csv' / 'reports.csv', None),
    ('JSON', root / 'jsonl' / 'reports.jsonl', None),
  ):
    folder = root / path.relative_to(root).parts[0]
    yield _seed(kind, path, functools.partial(_scan, folder), content)
  copy = root / 'split.json'
  shutil.copy(split, copy)
  read = functools.partial(_scan, r2gen, split_from=str(copy))
  yield _seed('annotation', copy, read)


def _read_rows(path, scratch):
  with ReportRows(path, '0'):
    pass


def _tables(root):
  def listed(path, scratch):
    read_film_list(str(path))

  def labels(path, scratch):
    read_label_file(path)

  def predictions(path, scratch):
    read_predictions(path)

  header = ','.join(('id', *CHEXPERT_14))
  rows = '\n'.join(f'{n}' + ',1,,0,-1' * 3 + ',,1' for n in range(4))
  one = dict.fromkeys(_COLUMNS) | {'id': 'a', 'model': '0'}
  rexrank = {n: {'model_prediction': 'Clear lungs.'} for n in 'abc'}
  radeval = {'references': ['a', 'b'], 'hypotheses': ['c', 'd']}
  done = ','.join(_COLUMNS) + '\na' + ',' * len(_COLUMNS[:-2]) + ',0\n'
  for kind, name, read, text in (
    ('labels', 'labels.csv', labels, f'{header}\n{rows}\n'),
    ('film list', 'a.csv', listed, 'id,image,view\n1,a.png;b.png,PA;LL\n'),
    ('film list', 'a.jsonl', listed, '{"image": ["a.png"], "id": 3}\n'),
    ('predictions', 'a.json', predictions, json.dumps(rexrank)),
    ('predictions', 'b.json', predictions, json.dumps(radeval)),
    ('predictions', 'b.jsonl', predictions, '{"ref": "a", "hyp": "b"}\n'),
    ('predictions', 'b.csv', predictions, 'reference,hypothesis\na,b\n'),
    ('predictions', 'rows.jsonl', _read_rows, json.dumps(one) + '\n'),
    ('predictions', 'rows.csv', _read_rows, done),
  ):
    yield _seed(kind, root / name, read, text.encode())


def _pth(path, scratch):
  content, _ = files.state_dict_of(path, 'state_dict', 'R2GenCMN', 'more')
  files.whole_number(content, 'epoch', path)


def _pickle(path, scratch):
  content = files.read_pickle(path)
  for value in content.values() if isinstance(content, dict) else ():
    files.array_of(value)


def _safetensors(path, scratch):
  files.read_safetensors(path)


def _weights(root):
  root.mkdir()
  arrays = {'a': np.ones((3, 4), np.float32), 'b.c': np.arange(5)}
  yield _seed(
    'safetensors', root / 'a.safetensors', _safetensors,
    safetensors.numpy.save(arrays),
  )  # fmt: skip
  yield _seed('pickle', root / 'a.pkl', _pickle, pickle.dumps(arrays, 2))
  if HAS_TORCH:
    content = {'state_dict': arrays, 'epoch': 3, 'monitor_best': 0.5}
    files.write_pth(root / 'a.pth', content)
    yield _seed('.pth', root / 'a.pth', _pth)


def _use(variables, meta):
  """What each reader of a checkpoint asks its meta for."""
  loaded = Loaded(variables, meta, 'here')
  loaded.config.to_dict()
  tokenizer = loaded.tokenizer
  tokenizer.decode(tokenizer.encode('the lungs are clear'), skip_first=True)
  loaded.looks([film(3)])


def _meta(path, scratch):
  step = checkpoints.find_step(path.parents[3])
  _use({}, checkpoints.load_meta(step))


def _hub(path, scratch):
  _use(*hub.read_hub_folder(path.parent))


def _metas(root):
  seen = fit_statistics(np.stack([statistics_of(film(n)) for n in range(80)]))
  about = {
    'tokenizer': {'clean': 'iu_xray', 'words': ['<unk>', 'clear', 'lungs']},
    'finding_targets': ['Edema'],
    'label_source': None,
    'dataset': 'x',
    meta_fields.FILM_STATISTICS: seen.to_json(),
  }
  history = [{'epoch': 1, 'val': {'bleu_4': 0.5}}]
  meta = checkpoints.make_meta(phantom.get_config('cmn'), history, 0.5, about)
  step = root / 'run' / 'checkpoints' / '7'
  (step / 'model').mkdir(parents=True)
  path = step / 'meta' / 'metadata'
  yield _seed('Orbax meta', path, _meta, json.dumps(meta).encode())
  folder = root / 'hub'
  folder.mkdir()
  variables = {'params': {'a': np.ones((2, 3), np.float32)}}
  hub.write_hub_folder(folder, variables, meta, 'A card.')
  for kind, name in (
    ('Orbax meta', hub.CONFIG),
    ('JSON', 'tokenizer.json'),
    ('safetensors', hub.WEIGHTS),
  ):
    yield _seed(kind, folder / name, _hub)
