"""Films changed at random: what may change, how far, and that it is seeded."""

import dataclasses

import numpy as np
import pytest

from input_pipeline import augmentation, images
from input_pipeline import batches as pipeline
from input_pipeline.augmentation import DRAWS, WHOLE, Augmentation
from input_pipeline.findings.sides import swap_sides
from tests.made.opening import assert_same, joined, open_folder, train
from tests.made.r2gen_folder import film, write_annotation, write_r2gen

CROP = dataclasses.replace(WHOLE, crop=True)
ALL = Augmentation(
  crop=True,
  crop_margin=0.1,
  flip=False,
  flip_with_text=True,
  rotate=10.0,
  brightness=0.2,
  contrast=0.3,
)


@pytest.fixture(scope='module')
def data(tmp_path_factory):
  folder = tmp_path_factory.mktemp('data')
  write_r2gen(folder)
  return open_folder(folder, tmp_path_factory.mktemp('cache'))


def stored(study, view):
  """What is kept of a training film."""
  return images.resize_short_side(film([len('train'), study, view]), 24)


def augmented(film_HxW, size, draw=0.5, flip=False, **changes):
  changes = dataclasses.replace(WHOLE, **changes)
  draws = np.full(DRAWS, draw)
  image, _ = augmentation.augment_film(film_HxW, size, draws, flip, changes)
  return image.numpy()


def test_without_it_batches_are_what_they_were_before_there_was_any(data):
  """Order, crops and flips from the draws that the first version made."""
  recipe = dataclasses.replace(CROP, flip=True)
  batches = train(data, 6, recipe, batch_size=5, seed=11)
  for epoch in range(3):
    rng = np.random.default_rng([11, epoch])
    order, draws = rng.permutation(10), rng.random((10, 2, 3))
    for place, study in enumerate(order):
      batch, row = batches[2 * epoch + place // 5], place % 5
      assert batch['study_B'][row] == study
      for view, (top, left, flip) in enumerate(draws[study]):
        whole = stored(study, view)
        top, left = ([top, left] * (np.array(whole.shape) - 15)).astype(int)
        cut = whole[top : top + 16, left : left + 16]
        np.testing.assert_array_equal(
          batch['images_BxIxHxW'][row, view],
          cut[:, ::-1] if flip < 0.5 else cut,
        )
    assert not batch['mirrored_B'].any()


def test_the_same_seed_gives_the_same_films_and_words(data):
  batches = train(data, 12, ALL)
  assert_same(batches, train(data, 12, ALL))
  assert_same(batches[5:], train(data, 7, ALL, first_step=5))
  others = train(data, 12, ALL, seed=8)
  assert any(
    not np.array_equal(b['images_BxIxHxW'], o['images_BxIxHxW'])
    for b, o in zip(batches, others, strict=True)
  )
  parts = [
    train(data, 4, ALL, process_index=n, process_count=2) for n in (0, 1)
  ]
  assert_same(joined(parts), batches[:4])
  for batch in batches:
    assert batch['images_BxIxHxW'].shape == (4, 2, 16, 16)
    assert batch['images_BxIxHxW'].dtype == np.uint8


@pytest.mark.parametrize(
  'change',
  [
    {'rotate': 10.0},
    {'brightness': 0.2},
    {'contrast': 0.3},
    {'crop': True, 'crop_margin': 0.1},
    {'flip_with_text': True},
  ],
)
def test_each_one_changes_films_by_itself(data, change):
  (plain,) = train(data, 1, WHOLE, batch_size=10)
  (other,) = train(data, 1, dataclasses.replace(WHOLE, **change), batch_size=10)
  differs_BxI = (plain['images_BxIxHxW'] != other['images_BxIxHxW']).any((2, 3))
  assert differs_BxI.sum() >= (6 if 'flip_with_text' in change else 18)


def test_a_flip_mirrors_every_film_of_a_study_and_swaps_its_words(data):
  flip = dataclasses.replace(WHOLE, flip_with_text=True)
  plain = {}
  for batch in pipeline.eval_batches(data, 'train', batch_size=10):
    plain = dict(zip(batch['study_B'], batch['images_BxIxHxW'], strict=True))
  mirrored = []
  for batch in train(data, 60, flip, batch_size=4):
    for row, study in enumerate(batch['study_B']):
      if not batch['mask_B'][row]:
        assert not batch['mirrored_B'][row] and not batch['ids_BxT'][row].any()
        continue
      films, report = plain[study], data.studies['train'][study].report
      if batch['mirrored_B'][row]:
        films, report = films[..., ::-1], swap_sides(report)
      np.testing.assert_array_equal(batch['images_BxIxHxW'][row], films)
      ids = data.tokenizer.encode(report, 12)
      assert batch['ids_BxT'][row, : len(ids)].tolist() == ids
      mirrored.append(batch['mirrored_B'][row])
  assert len(mirrored) == 200
  assert 75 < sum(mirrored) < 125


def test_a_mirrored_report_reaches_the_vocabulary(tmp_path):
  folder = tmp_path / 'data'
  annotation = write_r2gen(folder)
  for number, entry in enumerate(annotation['train']):
    entry['report'] = f'Nodule on the {("left", "right")[number % 2]}.'
  write_annotation(folder, annotation)
  data = open_folder(folder, tmp_path / 'cache')
  flip = dataclasses.replace(WHOLE, flip_with_text=True)
  seen = set()
  for batch in train(data, 30, flip, batch_size=10):
    for row, study in enumerate(batch['study_B']):
      text = data.tokenizer.decode(batch['ids_BxT'][row], skip_first=True)
      side = ('left', 'right')[(study % 2) ^ batch['mirrored_B'][row]]
      assert text == f'nodule on the {side} .'
      seen.add((study % 2, batch['mirrored_B'][row]))
  assert len(seen) == 4


def test_rotation_by_nothing_is_the_identity():
  whole = film(3)
  np.testing.assert_array_equal(augmentation.rotate(whole, 0.0), whole)
  # A draw in the middle turns by 0.
  np.testing.assert_array_equal(
    augmented(whole, 16, rotate=10.0), augmented(whole, 16)
  )


@pytest.mark.parametrize(
  'degrees, turned', [(90.0, -1), (-90.0, 1), (180.0, 2)]
)
def test_rotation_is_clockwise_about_the_middle(degrees, turned):
  square = film(3)[:40, :40]
  np.testing.assert_array_equal(
    augmentation.rotate(square, degrees), np.rot90(square, turned)
  )


def test_rotation_stays_in_its_range_and_brings_in_black():
  bar = np.full((81, 81), 200, np.uint8)
  bar[:, 40] = 255
  for draw, sign in ((0.0, -1), (1 - 1e-9, 1)):
    turned = augmented(bar, 81, draw=draw, rotate=20.0)
    rows = np.arange(20, 61)
    columns = turned[rows].argmax(1)
    slope = np.polyfit(rows - 40, columns - 40, 1)[0]
    # Clockwise moves the upper end to the right.
    assert -slope == pytest.approx(sign * np.tan(np.radians(20)), abs=0.02)
    assert turned[0, 0] == turned[-1, -1] == 0


def test_crops_keep_all_but_a_margin_at_each_edge():
  rows, columns = np.mgrid[:100, :140]
  for film_HxW, length in ((rows, 100), (columns, 140)):
    film_HxW = film_HxW.astype(np.uint8)
    for draw in (0.0, 0.5, 1 - 1e-9):
      edges = np.array([draw, draw / 2, 1 - draw, 0]) * 0.1
      corners = augmentation.inner_corners(film_HxW, edges).numpy()
      top, left, bottom, right = corners
      cut = film_HxW[top:bottom, left:right]
      assert cut.shape == (
        100 - int(edges[0] * 100) - int(edges[2] * 100),
        140 - int(edges[1] * 140),
      )
      assert cut.min() <= 0.1 * length
      assert cut.max() >= 0.9 * length - 1
  largest = augmented(film(3), 16, draw=0.0, crop=True, crop_margin=0.2)
  np.testing.assert_array_equal(largest, augmented(film(3), 16))


def test_light_stays_in_its_range():
  film_HxW = np.tile(np.arange(60, 196, dtype=np.uint8), (8, 1))
  for draw, sign in ((0.0, -1), (0.5, 0), (1 - 1e-9, 1)):
    brighter = augmented(film_HxW, 16, draw=draw, brightness=0.2)
    shift = brighter.astype(int) - augmented(film_HxW, 16)
    assert set(np.unique(shift)) <= {sign * 51}
  np.testing.assert_array_equal(augmentation.light(film_HxW, 0, 0), film_HxW)
  stronger = np.asarray(augmentation.light(film_HxW, 0.0, 0.5), float)
  assert np.ptp(stronger) == pytest.approx(1.5 * np.ptp(film_HxW), abs=1)
  assert stronger.mean() == pytest.approx(film_HxW.mean(), abs=0.5)
  bright = np.asarray(augmentation.light(film_HxW, 0.9, 0.0))
  dark = np.asarray(augmentation.light(film_HxW, -0.9, 0.0))
  assert bright.min() == 255 and dark.max() == 0  # cut off, not wrapped
