"""Shares of pixels, counted by hand."""

import numpy as np
import pytest

from cmn_jax.scores.mask_overlap import class_cover, overlap


def test_overlap_of_known_pixels():
  masks, lesions = np.zeros((3, 2, 4), bool), np.zeros((3, 2, 4), bool)
  lesions[0, 0, :2] = lesions[1, 1] = True
  masks[0, 0, 1:] = masks[2] = True
  # Film 0: 1 of 2 inside, 2 of 6 outside; film 1: nothing; film 2 has none.
  shares = overlap(masks, lesions)
  assert shares['films'] == 2
  assert shares['inside'] == pytest.approx((1 / 2 + 0) / 2)
  assert shares['outside'] == pytest.approx((2 / 6 + 0) / 2)
  assert overlap(masks[2:], lesions[2:]) == {
    'inside': None,
    'outside': None,
    'films': 0,
  }


def test_cover_is_of_the_films_where_a_class_is_said():
  cover = np.array([[0.2, 0.0], [0.4, 0.0], [0.9, 0.0]])
  said = np.array([[True, False], [True, False], [False, False]])
  (count, mean), nothing = class_cover(cover, said)
  assert count == 2 and mean == pytest.approx(0.3)
  assert nothing == (0, None)
