"""Masks of attention in files: written by a command, read by a task."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from cmn_jax.loaded import Loaded
from cmn_jax.models.ekagen_films import unpacked
from cmn_jax.models.ekagen_names import PEAK_SHARE, RULES, THRESHOLD
from cmn_jax.scores.mask_overlap import class_cover, overlap
from cmn_jax.tasks.diagnosis import FilmReader, packed_masks
from input_pipeline.atomic_write import atomic_path
from input_pipeline.errors import UserError, check_choice
from input_pipeline.phantom.places import study_lesions
from input_pipeline.study import SPLITS

_PHANTOM = 'phantom'
# What each file says of its masks.
_ABOUT = ('size', 'rule', 'threshold', 'no_finding', 'locator', 'classes')


def write_masks(
  locator: Loaded,
  config: ConfigDict,
  data,
  out: Path | str,
  rule: str = THRESHOLD,
  threshold: float = PEAK_SHARE,
  no_finding: bool = False,
  npy: bool = False,
) -> list[str]:
  """Writes out/<split>.npz of each split: masks, eight pixels a byte.

  Args:
    locator: of the task 'diagnose'.
    config: of the data, whose data.image_size is the masks' side.
    data: `input_pipeline.data.Data`.
    out: a folder; files of these names are replaced.
    rule: 'threshold' or 'jet'.
    threshold: of that rule.
    no_finding: whether No Finding has a mask too.
    npy: write each film's mask as EKAGen's authors keep it as well, bool in
      out/images<size>_array/<film>.npy.

  Returns:
    Lines to be printed: what each class's masks cover, and on a phantom how
    the masks overlap with the lesions that were drawn.

  Raises:
    UserError: another task's checkpoint, or no such rule.
  """
  check_choice('the rule of masks', rule, RULES)
  out, size = Path(out), data.image_size
  reader = FilmReader.of(locator.meta, locator.origin)
  about = {
    'size': size,
    'rule': rule,
    'threshold': threshold,
    'no_finding': no_finding,
    'locator': locator.fingerprint,
    'classes': list(reader.classes),
  }
  lines = []
  for split in SPLITS:
    options = rule, threshold, no_finding
    found = packed_masks(locator, config, data, split, *options)
    studies = data.studies[split]
    arrays = {
      'packed': found['packed'],
      'ids': np.array([study.id for study in studies]),
      'about': json.dumps(about),
    }
    _save(np.savez, _path(out, split), **arrays)
    masks_SxHxW = unpacked(found['packed'], size)
    if npy:
      folder = out / f'images{size}_array'
      for study, mask in zip(studies, masks_SxHxW, strict=True):
        if film := next(filter(None, study.films), None):
          path = _npy_path(folder, config.data.dir, film)
          _save(np.save, path, mask)
    lines += _report(reader, split, found, masks_SxHxW)
    # To draw all training patients anew would take minutes.
    if data.name == _PHANTOM and split != 'train':
      lesions = study_lesions(config.data.dir, studies, size)
      lines.append(_of_lesions(overlap(masks_SxHxW, lesions)))
  return lines


def read_masks(folder: Path | str, data, split: str) -> np.ndarray:
  """What `write_masks` wrote of a split, packed: (S, H, ceil(W / 8)) uint8.

  `ekagen_films.unpacked` makes masks of any of its rows.

  Args:
    folder: where it did.
    data: `input_pipeline.data.Data`, whose films they are for.
    split: of the data.

  Raises:
    UserError: not there, of another size, or for other studies.
  """
  path = _path(folder, split)
  about, packed, ids = _read(path, 'packed', 'ids')
  size = about['size']
  if size != data.image_size:
    raise UserError(
      f'{path} holds masks of {size} pixels, data.image_size is '
      f'{data.image_size}: write them again with that size'
    )
  wanted = [study.id for study in data.studies[split]]
  if ids.tolist() != wanted:
    both = len(set(wanted) & set(ids.tolist()))
    raise UserError(
      f'{path} holds masks of {len(ids)} studies, the data have '
      f'{len(wanted)}, of which {both} are among them, or the order is '
      'another: write them again for these data'
    )
  return packed


def read_about(folder: Path | str, split: str) -> dict:
  """What `write_masks` says of the masks of a split: the fields of _ABOUT.

  Raises:
    UserError: not there, or not readable.
  """
  return _read(_path(folder, split))[0]


def _path(folder: Path | str, split: str) -> Path:
  return Path(folder) / f'{split}.npz'


def _read(path: Path, *names: str) -> tuple:
  """What the file says of its masks, and these of its arrays."""
  try:
    with np.load(path) as file:
      about = json.loads(str(file['about']))
      return {x: about[x] for x in _ABOUT}, *(file[name] for name in names)
  except Exception as error:  # A damaged file raises all kinds.
    raise UserError(
      f'{path} cannot be read: expected masks, as python -m cmn_jax.ekagen '
      'masks writes them; write them again'
    ) from error


def _npy_path(folder: Path, data_dir: str, film: str) -> Path:
  """A film's path within the images, in another folder and as .npy."""
  path, images = Path(film), (Path(data_dir) / 'images').absolute()
  inside = path.is_relative_to(images)
  name = path.relative_to(images) if inside else Path(*path.parts[-2:])
  return (folder / name).with_suffix('.npy')


def _save(save: Callable, path: Path, *args, **arrays) -> None:
  """np.save or np.savez, whole or not at all."""
  path.parent.mkdir(parents=True, exist_ok=True)
  with atomic_path(path) as partial, partial.open('wb') as file:
    save(file, *args, **arrays)


def _report(reader, split, found, masks_SxHxW) -> list[str]:
  """How many films have masks, and what each class's own ones cover."""
  share_S = masks_SxHxW.mean(axis=(1, 2))
  masked, mean = int((share_S > 0).sum()), 0.0
  if masked:
    mean = share_S.sum() / masked
  lines = [
    f'{split}: {masked} of {len(share_S)} films have a mask, of '
    f'{100 * mean:.0f} % of the film'
  ]
  covers = class_cover(found['cover'], found['said'])
  for name, (count, cover) in zip(reader.classes, covers, strict=True):
    if count:
      lines.append(f'  {name:26s} {count:6d} films {100 * cover:5.1f} %')
  return lines


def _of_lesions(shares: dict) -> str:
  if not shares['films']:
    return '  no film shows a lesion'
  return (
    f'  of {shares["films"]} films with lesions: '
    f'{100 * shares["inside"]:.0f} % of the lesions are inside,\n'
    f'    {100 * shares["outside"]:.0f} % of the rest of the film'
  )
