"""Checks of EKAGen's classifiers, masks and words against the authors'."""

import os
import sys
from pathlib import Path

import jax
import numpy as np
import torch

from benchmarks import ekagen_authors as authors
from cmn_jax.interop.ekagen_files import their_order
from cmn_jax.interop.film_classifiers import to_classifier
from cmn_jax.models.attention_masks import (
  attention_mask,
  class_gradients,
  class_maps,
)
from cmn_jax.models.ekagen_names import JET
from input_pipeline.ekagen_words import EkagenTokenizer
from input_pipeline.findings.vocabulary import CHEXPERT_14
from tests.parity.ekagen_classifiers import (
  BOT,
  LOCATOR,
  SEED,
  classifier,
  classifier_films,
  draw_maps,
  logits_of,
)
from tests.parity.results import Row, at_most, for_scale, none_of


def their_classifier(encoder: str):
  """DiagnosisBot or the locator with our drawn weights."""
  theirs = (
    authors.build_diagnosis_bot() if encoder == BOT else authors.build_locator()
  )
  state = to_classifier(*classifier(encoder), CHEXPERT_14)
  theirs.load_state_dict({k: torch.tensor(v) for k, v in state.items()})
  return theirs


def their_probabilities(encoder: str, studies: int):
  """Their probabilities in our order of classes, and the films."""
  films = classifier_films(encoder, studies)
  with torch.no_grad():
    found = their_classifier(encoder)(authors.films_for(films).tensors)
  return found.numpy()[:, their_order(CHEXPERT_14)], films


def probabilities(encoder: str, studies: int = 8) -> list[Row]:
  """Probabilities, and the way back to their file."""
  want, films = their_probabilities(encoder, studies)
  model, variables = classifier(encoder)
  got = jax.nn.sigmoid(logits_of(model, variables, films)[1])
  on = f'{encoder}, {studies} films'
  rows = [
    at_most('probabilities', on, np.abs(got - want).max(), 1e-5),
    for_scale('deviation of probabilities', on, f'{want.std():.1e}'),
  ]
  if encoder == BOT:
    model, variables = classifier(encoder, shift_last_stage=False)
    other = jax.nn.sigmoid(logits_of(model, variables, films)[1])
    rows.append(
      for_scale(
        'without the shift of the last stage',
        on,
        f'{np.abs(other - want).max():.1e}',
      )
    )
  return rows


def their_mask(map_hxwxF, gradients_GxF, present_G, side: int) -> np.ndarray:
  """The mask that their functions make of a map, bool (H, W); needs cv2."""
  import cv2
  from gradcam_utils import GradCAM, show_cam_on_image

  union = np.zeros((side, side, 3))
  activations = map_hxwxF.transpose(2, 0, 1)[None]
  for n in np.flatnonzero(present_G):
    gradients = np.broadcast_to(
      gradients_GxF[n][None, :, None, None], activations.shape
    )
    cam = object.__new__(GradCAM)
    cam.activations_and_grads = _Given(activations, gradients)
    layers = cam.compute_cam_per_layer(torch.zeros((1, 3, side, side)))
    grey = cam.aggregate_multi_layers(layers)[0]
    blank = np.zeros((side, side, 3), np.float32)
    with np.errstate(invalid='ignore'):
      _, heat = show_cam_on_image(blank, grey, use_rgb=True)
    on = cv2.threshold(heat, 0.6, 1, cv2.THRESH_BINARY)[1]
    kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (5, 5))
    union += cv2.dilate(on, kernel)
  return np.any(union, axis=2)


class _Given:
  """What their hooks would have caught."""

  def __init__(self, activations, gradients):
    self.activations = [torch.from_numpy(activations.copy())]
    self.gradients = [torch.from_numpy(gradients.copy())]

  def release(self):
    """There are no hooks."""


def masks(films: int = 16, side: int = 300) -> list[Row]:
  """Masks by the rule `jet`, from drawn maps of 10 x 10; needs cv2."""
  maps, logits, kernel = draw_maps(films, 10, SEED)
  gradients = np.asarray(class_gradients(logits, kernel, 100))
  present = np.random.RandomState(SEED).uniform(size=logits.shape) < 0.2
  heat = class_maps(maps, gradients, (side, side))
  got = np.asarray(attention_mask(heat, present, JET))
  want = np.stack(
    [
      their_mask(*one, side)
      for one in zip(maps, gradients, present, strict=True)
    ]
  )
  on = f'{films} films of {side} pixels'
  return [
    none_of("masks' pixels", on, int((got != want).sum()), want.size),
    for_scale('share of a film in its mask', on, f'{want.mean():.2f}'),
  ]


def locator_gradients(films: int = 2) -> list[Row]:
  """Our closed form of a class's gradient against torch's, on the locator."""
  theirs, images = their_classifier(LOCATOR), classifier_films(LOCATOR, films)
  caught = []
  theirs.layer4.register_forward_hook(lambda *args: caught.append(args[2]))
  found = theirs(authors.films_for(images).tensors)
  order = their_order(CHEXPERT_14)
  want = np.stack(
    [
      torch.autograd.grad(found[:, n].sum(), caught[0], retain_graph=True)[0]
      .mean(dim=(2, 3))
      .numpy()
      for n in order
    ],
    axis=1,
  )
  model, variables = classifier(LOCATOR)
  _, logits = logits_of(model, variables, images)
  kernel = variables['params']['head']['kernel']
  got = np.asarray(class_gradients(logits, kernel, 100))
  error = np.abs(got - want).max() / np.abs(want).max()
  return [
    at_most(
      "classes' gradients, relative to the largest",
      f'{LOCATOR}, {films} films',
      error,
      1e-5,
    )
  ]


def words(checkout: Path, annotation: Path) -> list[Row]:
  """Vocabulary, ids and references of the whole annotation of IU X-Ray."""
  here = os.getcwd()
  os.chdir(checkout)  # They open their lists relative to it.
  try:
    sys.modules.pop('datasets', None)
    from datasets.tokenizers import Tokenizer

    theirs = Tokenizer(str(annotation), 3, 'iu_xray')
  finally:
    os.chdir(here)
  splits = theirs.ann
  ours = EkagenTokenizer.fit([study['report'] for study in splits['train']])
  numbered = dict(enumerate(ours.words, 3))
  reports = [study['report'] for part in splits.values() for study in part]
  ids = sum(ours.encode(r, 129) != theirs(r)[:129] for r in reports)
  texts = 0
  for report in reports:
    kept = [i for i in theirs(report)[1:129] if i not in (0, 1, 2)]
    texts += theirs.decode(kept) != ours.reference(report, 129)
  on = f'{len(reports)} reports of IU X-Ray'
  return [
    none_of(
      'words',
      on,
      len(numbered.items() ^ theirs.idx2token.items()),
      len(theirs.idx2token),
    ),
    none_of('reports by their ids', on, ids, len(reports)),
    none_of('references', on, texts, len(reports)),
  ]
