"""A small model of the authors, trained for a while, brought over and asked.

Unlike random weights it writes varied, worded reports. It takes the way of a
user's checkpoint: torch.save, `convert r2gencmn`, `Reporter.load`.
"""

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import torch

from cmn_jax.arguments import read_config
from cmn_jax.convert_r2gencmn import convert_r2gencmn
from cmn_jax.models.images import normalise_images
from cmn_jax.predict import Reporter
from cmn_jax.training.checkpoints import find_step, load_model
from input_pipeline.images import prepare_films
from input_pipeline.phantom.write import write_phantom
from input_pipeline.tokenizers import WordTokenizer
from tests.made import small
from tests.parity import authors, inputs, models, reports
from tests.parity.kept import Kept
from tests.parity.results import at_most

IMAGE = 64
BATCH = 16
# The config of the model: models.SMALL with the phantom's words.
CONFIG = [
  '--config=configs/phantom.py:cmn',
  f'--config.data.image_size={IMAGE}',
  *small.flags(models.SMALL),
]


def trained(
  checkout: Path, folder: Path, studies: int, epochs: int, kept: Kept
):
  """Rows for ids, log-probabilities and scores of the trained model.

  Args:
    checkout: the authors' code.
    folder: for the phantom and the checkpoints; what is there is used again.
    studies: of the phantom, of which a tenth train nothing.
    epochs: of training.
    kept: the authors' answers so far.
  """
  data = folder / f'phantom{studies}'
  if not data.exists():
    write_phantom(data, studies=studies, seed=3, size=96, workers=2)
  annotation = json.loads((data / 'annotation.json').read_bytes())
  words = WordTokenizer.fit([e['report'] for e in annotation['train']])
  shape = dataclasses.replace(
    models.SMALL, vocabulary=words.vocab_size + 1, max_length=60
  )
  films = {k: _films(data, entries) for k, entries in annotation.items()}
  checkpoint = folder / f'trained{studies}x{epochs}.pth'
  if not checkpoint.exists():
    _train(
      shape, words, annotation['train'], films['train'], epochs, checkpoint
    )

  theirs = authors.build_model(shape, 2, IMAGE, dropout=False)
  state = torch.load(checkpoint, weights_only=True)['state_dict']
  theirs.load_state_dict(state)
  config = read_config(CONFIG)
  converted = folder / f'converted{studies}x{epochs}'
  if not converted.exists():
    convert_r2gencmn(checkpoint, data / 'annotation.json', converted, config)
  ours = Reporter.load(converted)
  variables, _ = load_model(find_step(converted))

  unseen = [*annotation['val'], *annotation['test'], *annotation['train']]
  unseen_films = np.concatenate([films[k] for k in ('val', 'test', 'train')])
  unseen, unseen_films = unseen[:208], unseen_films[:208]
  name = 'small model trained on the phantom'
  ids_BxT = _pad([words.encode(e['report']) for e in unseen[:64]], 60)
  images = np.asarray(normalise_images(unseen_films[:64]))
  expected = authors.log_probs(theirs, images, ids_BxT)
  worst = float(np.max(np.abs(ours.log_probs(images, ids_BxT) - expected)))
  rows = [
    at_most('log-probabilities, absolute', f'{name}, 64 studies', worst, 1e-4)
  ]
  asked = reports.Asked(unseen_films, name, BATCH, literal=16)
  rows += reports.compare_reports(
    theirs, ours.model, variables, asked, reports.METHODS, kept
  )
  written = ours.generate(np.asarray(normalise_images(unseen_films)))
  hypotheses = [words.decode(ids) for ids in written]
  references = [words.reference(e['report'], 60) for e in unseen]
  on = f'{len(unseen)} reports of the {name}'
  return rows + inputs.scores(checkout, references, hypotheses, on)


def _films(data: Path, entries) -> np.ndarray:
  return np.stack(
    [
      prepare_films([data / 'images' / p for p in e['image_path']], IMAGE)
      for e in entries
    ]
  )


def _pad(reports, length) -> np.ndarray:
  ids = np.zeros((len(reports), length), np.int32)
  for row, report in zip(ids, reports, strict=True):
    row[: len(report)] = report
  return ids


def _train(shape, words, entries, films, epochs, checkpoint: Path):
  """Trains the authors' model with their optimizer; saves as they do."""
  from modules.loss import compute_loss
  from modules.optimizers import build_optimizer

  torch.manual_seed(1)
  model = authors.build_model(shape, 2, IMAGE, dropout=False).train()
  model.args.lr_ve = model.args.lr_ed = 1e-3
  optimizer = build_optimizer(model.args, model)
  reports = [words.encode(e['report']) for e in entries]
  order = np.random.RandomState(1)
  for epoch in range(epochs):
    total = []
    shuffled = order.permutation(len(reports))
    for start in range(0, len(shuffled), BATCH):
      chosen = shuffled[start : start + BATCH]
      ids_BxT = _pad([reports[i] for i in chosen], shape.max_length)
      mask = np.zeros(ids_BxT.shape, np.float32)
      for row, i in zip(mask, chosen, strict=True):
        row[: len(reports[i])] = 1
      images = np.asarray(normalise_images(films[chosen]))
      output = model(
        authors.films_for(model, images),
        torch.from_numpy(ids_BxT).long(),
        mode='train',
      )
      loss = compute_loss(
        output, torch.from_numpy(ids_BxT).long(), torch.from_numpy(mask)
      )
      optimizer.zero_grad()
      loss.backward()
      optimizer.step()
      total.append(float(loss.detach()))
    print(f'epoch {epoch + 1}: loss {np.mean(total):.3f}', file=sys.stderr)
  content = {
    'epoch': epochs,
    'state_dict': model.state_dict(),
    'optimizer': optimizer.state_dict(),
    'monitor_best': 0.0,
  }
  torch.save(content, checkpoint)
