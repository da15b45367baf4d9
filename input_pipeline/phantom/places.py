"""Where on its frontal film each finding of a phantom patient shows.

Nothing of it is stored: the patient is built again from the phantom's seed,
with and without the finding, which draws from a stream of its own.
"""

import json
import pathlib
from collections.abc import Sequence

import numpy as np

from input_pipeline.findings.vocabulary import Finding
from input_pipeline.phantom.films import build_patient
from input_pipeline.phantom.render import ATTENUATION, Camera, project
from input_pipeline.phantom.write import VERSION, PhantomError
from input_pipeline.study import Study

# It changes the whole film.
_NO_PLACE = ('hyperinflation',)
# A pixel shows a finding where it lets pass or holds back this share of light.
_SEEN = 0.1


def lesion_places(
  findings: Sequence[Finding], seed: int, index: int, size: int
) -> np.ndarray:
  """Pixels that each finding changes on the frontal film, bool (L, H, W).

  Args:
    findings: of the patient, complete.
    seed: of the phantom.
    index: of the patient in it.
    size: side of the film in pixels; any, whatever was drawn.
  """

  if not findings:
    return np.zeros((0, size, size), bool)

  def light(kept):
    scene = build_patient(kept, seed, index)[0]
    camera = Camera('frontal', scene.poses['frontal'], size)
    return ATTENUATION * project(scene, camera)

  whole = light(findings)
  others = [[f for f in findings if f is not one] for one in findings]
  changes = [np.abs(np.expm1(whole - light(kept))) for kept in others]
  return np.array(changes) > _SEEN


def study_lesions(
  folder: pathlib.Path | str, studies: Sequence[Study], size: int
) -> np.ndarray:
  """Pixels of the frontal film that show any finding, bool (S, H, W).

  Hyperinflation is left out, which changes the whole of it.

  Args:
    folder: of the phantom, as it was written.
    studies: of it.
    size: side of the films in pixels.

  Raises:
    PhantomError: it is no phantom that this version draws.
  """
  path = pathlib.Path(folder) / 'dataset.json'
  try:
    about = json.loads(path.read_text())
  except (OSError, ValueError):
    about = {}
  if about.get('name') != 'phantom' or about.get('version') != VERSION:
    raise PhantomError(
      f'{folder} is no phantom of version {VERSION}: lesions can be looked up '
      'where python -m input_pipeline.phantom has drawn them'
    )
  lesions = np.zeros((len(studies), size, size), bool)
  for study, place in zip(studies, lesions, strict=True):
    findings = [Finding(**fields) for fields in study.findings]
    index = int(study.id.rpartition('-')[2])
    places = lesion_places(findings, about['seed'], index, size)
    for finding, one in zip(findings, places, strict=True):
      if finding.name not in _NO_PLACE:
        place |= one
  return lesions
