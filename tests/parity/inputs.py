"""What goes in and comes out: words, films, scores, checkpoint files."""

import io
import json
import shutil
import subprocess
import sys
import tempfile
import types
from pathlib import Path

import numpy as np
import pycocoevalcap  # pip's, before the authors' path can hide it.
import torch
from PIL import Image

from cmn_jax.models.images import normalise_images
from cmn_jax.scores.metrics import score_reports
from input_pipeline import images
from input_pipeline.tokenizers import WordTokenizer
from tests.parity import models
from tests.parity.results import Row, at_most, none_of

_SCORES = ('bleu_1', 'bleu_2', 'bleu_3', 'bleu_4', 'rouge_l', 'meteor')


def tokenizer(annotation: Path) -> list[Row]:
  """Ids of all reports, both cleaners, and the words they decode to."""
  from modules.tokenizers import Tokenizer

  entries = json.loads(annotation.read_bytes())
  train = [entry['report'] for entry in entries['train']]
  reports = [e['report'] for split in entries.values() for e in split]
  rows = []
  for clean, min_count, length in (('iu_xray', 3, 60), ('mimic_cxr', 10, 100)):
    args = types.SimpleNamespace(
      ann_path=str(annotation), threshold=min_count, dataset_name=clean
    )
    theirs = Tokenizer(args)
    ours = WordTokenizer.fit(train, min_count, clean)
    differing = 0
    for report in reports:
      expected = theirs(report)[:length]
      got = ours.encode(report, length)
      same = got == expected and ours.decode(got[1:]) == theirs.decode(got[1:])
      differing += not same
    on = (
      f'{len(reports)} reports, {clean} cleaner, words seen {min_count} times '
      f'({ours.vocab_size} of them)'
    )
    rows.append(
      none_of('word ids and decoded text', on, differing, len(reports))
    )
  return rows


def films(folder: Path) -> list[Row]:
  """Resizing, cropping and normalising as torchvision does it through PIL."""
  paths = sorted(p for p in folder.iterdir() if p.is_file())
  worst, means = 0.0, []
  for path in paths:
    film = images.read_film(path)
    picture = _picture(path, film)
    square = picture.resize((224, 224), Image.Resampling.BILINEAR)
    pairs = [(images.prepare_films([path], 224)[0], square)]
    height, width = film.shape
    scale = 256 / min(height, width)
    sides = (max(256, int(scale * width)), max(256, int(scale * height)))
    large = picture.resize(sides, Image.Resampling.BILINEAR)
    stored = images.resize_short_side(film, 256)
    for top, left in ((0, 0), (16, 16), (sides[1] - 224, sides[0] - 224)):
      crop = stored[top : top + 224, left : left + 224]
      box = (left, top, left + 224, top + 224)
      pairs.append((crop, large.crop(box)))
    for ours, theirs in pairs:
      difference = _grey_levels(ours, theirs)
      worst = max(worst, float(difference.max()))
      means.append(float(difference.mean()))
  on = f'{len(paths)} films, {len(means)} resized or cropped images'
  return [
    at_most('pixels, worst, grey levels of 255', on, worst, 2.0),
    at_most('pixels, mean, grey levels of 255', on, max(means), 0.1),
  ]


def _picture(path: Path, film) -> Image.Image:
  """The film as the authors open it; a DICOM, which they cannot, as a PNG."""
  try:
    return Image.open(path).convert('RGB')
  except Image.UnidentifiedImageError:
    file = io.BytesIO()
    Image.fromarray(film).save(file, 'PNG')
    return Image.open(file).convert('RGB')


def _grey_levels(film_HxW, picture: Image.Image) -> np.ndarray:
  """Differences of the normalised images, in grey levels."""
  ours = np.asarray(normalise_images(film_HxW[None, None]))[0, 0]
  theirs = torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 255
  std = torch.tensor((0.229, 0.224, 0.225))[:, None, None]
  mean = torch.tensor((0.485, 0.456, 0.406))[:, None, None]
  theirs = ((theirs - mean) / std).permute(1, 2, 0).numpy()
  return np.abs(ours - theirs) * std.flatten().numpy() * 255


def scores(checkout: Path, references, hypotheses, on: str) -> list[Row]:
  """Our scores against their compute_scores, METEOR by Java included."""
  jar = Path(pycocoevalcap.__path__[0]) / 'meteor' / 'meteor-1.5.jar'
  if not jar.is_file() or shutil.which('java') is None:
    raise SystemExit(f'error: METEOR needs java and {jar}')
  program = Path(__file__).with_name('authors_scores.py')
  done = subprocess.run(
    [sys.executable, program, checkout, jar],
    input=json.dumps({'references': references, 'hypotheses': hypotheses}),
    capture_output=True,
    text=True,
    check=True,
  )
  theirs = json.loads(done.stdout)
  ours = score_reports(references, hypotheses)
  worst = max(abs(ours[name] - theirs[name]) for name in _SCORES)
  return [at_most('BLEU-1 to 4, ROUGE-L, METEOR 1.5', on, worst, 1e-6)]


def checkpoint() -> list[Row]:
  """A checkpoint of published sizes here and back, by the commands."""
  shape = models.PUBLISHED
  with tempfile.TemporaryDirectory() as folder:
    folder = Path(folder)
    theirs, _, _ = models.pair(models.PUBLISHED_SIZE, 2, seed=8)
    optimizer = torch.optim.Adam(theirs.parameters(), lr=0.0, amsgrad=True)
    for parameter in theirs.parameters():
      parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    content = {
      'epoch': 3,
      'state_dict': theirs.state_dict(),
      'optimizer': optimizer.state_dict(),
      'monitor_best': 0.125,
    }
    torch.save(content, folder / 'model.pth')
    size = (folder / 'model.pth').stat().st_size / 1e6
    count = sum(p.numel() for p in theirs.parameters()) / 1e6
    write_annotation(folder / 'annotation.json', shape.vocabulary - 2)
    seconds, memory = _run(
      'r2gencmn',
      folder / 'model.pth',
      '--annotation',
      folder / 'annotation.json',
      '--out',
      folder / 'ours',
    )
    _run('to-r2gencmn', folder / 'ours', '--out', folder / 'back.pth')
    back = torch.load(folder / 'back.pth')['state_dict']
    state = theirs.state_dict()
    theirs.load_state_dict(back)  # Strict: names and shapes are theirs.
    differing = len(state.keys() ^ back.keys()) + sum(
      not torch.equal(state[name], back[name])
      for name in state.keys() & back.keys()
    )
  on = f'{count:.0f} million parameters, a file of {size:.0f} MB'
  return [
    Row('convert, time', on, f'{seconds:.0f} s', '30 s', seconds < 30),
    Row('convert, memory', on, f'{memory:.1f} GB', '3 GB', memory < 3),
    none_of(
      'tensors after r2gencmn and to-r2gencmn', on, differing, len(state)
    ),
  ]


def write_annotation(path: Path, words: int):
  """An annotation whose vocabulary has `words` words beside <unk>."""
  reports = [' '.join(f'word{n:04d}' for n in range(words - 1))] * 3
  entries = [
    {'id': str(n), 'report': f'{report}.', 'image_path': ['a.png', 'b.png']}
    for n, report in enumerate(reports)
  ]
  path.write_text(json.dumps(dict.fromkeys(('train', 'val', 'test'), entries)))


def _run(*arguments) -> tuple[float, float]:
  """Seconds and peak gigabytes of one command, in a process of its own."""
  code = (
    'import runpy, sys, time; t = time.time();'
    'sys.argv[0] = "convert";'
    'runpy.run_module("cmn_jax.convert", run_name="__main__");'
    'from benchmarks import resident_memory;'
    'print(time.time() - t, resident_memory.peak_bytes())'
  )
  done = subprocess.run(
    [sys.executable, '-c', code, *map(str, arguments)],
    capture_output=True,
    text=True,
  )
  if done.returncode:
    raise SystemExit(f'error: convert failed: {done.stderr[-2000:]}')
  seconds, peak = done.stdout.split()[-2:]
  return float(seconds), float(peak) / 1e9
