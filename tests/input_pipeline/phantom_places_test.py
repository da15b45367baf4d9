"""Lesions are where the films say so."""

import numpy as np
import pytest

from input_pipeline.findings import Finding
from input_pipeline.phantom.films import draw_study
from input_pipeline.phantom.places import lesion_places, study_lesions
from input_pipeline.phantom.write import PhantomError

SIZE = 64
NODULE = Finding('nodule', side='left', zone='upper')
EFFUSION = Finding('effusion', side='right', severity='severe')


def test_where_a_finding_shows_the_film_changes_and_elsewhere_not():
  places = lesion_places([NODULE, EFFUSION], 3, 7, SIZE)
  nodule, effusion = places
  # The patient's left is at the right, and feet are below.
  rows, columns = np.nonzero(nodule)
  assert columns.min() > SIZE / 2 and rows.max() < SIZE / 2
  rows, columns = np.nonzero(effusion)
  assert columns.max() < SIZE / 2 + 2 and rows.mean() > SIZE / 2
  with_it, without = (
    draw_study(findings, 3, 7, SIZE)[0].astype(int)
    for findings in ([NODULE, EFFUSION], [EFFUSION])
  )
  change = np.abs(with_it - without)
  assert change[nodule].mean() > 20 * change[~nodule].mean()


def test_nothing_to_see_and_other_data(tmp_path):
  assert lesion_places([], 3, 7, SIZE).shape == (0, SIZE, SIZE)
  with pytest.raises(PhantomError, match='is no phantom'):
    study_lesions(tmp_path, [], SIZE)
