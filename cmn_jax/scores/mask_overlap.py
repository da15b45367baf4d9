"""How well masks of attention cover what they should: shares of pixels."""

import numpy as np


def overlap(
  masks_SxHxW: np.ndarray, lesions_SxHxW: np.ndarray
) -> dict[str, float | int | None]:
  """Means over the films that show a lesion; the others are left out.

  Args:
    masks_SxHxW: bool.
    lesions_SxHxW: bool, pixels that show a lesion.

  Returns:
    inside, the share of the lesions' pixels that is masked; outside, that of
    the rest of the film; both None without such a film; films, their number.
  """
  shown_S = lesions_SxHxW.any(axis=(1, 2))
  masks, lesions = masks_SxHxW[shown_S], lesions_SxHxW[shown_S]
  if not len(masks):
    return {'inside': None, 'outside': None, 'films': 0}

  def share(where):
    count_S = where.sum(axis=(1, 2))
    return float(((masks & where).sum(axis=(1, 2)) / count_S).mean())

  return {
    'inside': share(lesions),
    'outside': share(~lesions),
    'films': len(masks),
  }


def class_cover(
  cover_SxG: np.ndarray, said_SxG: np.ndarray
) -> list[tuple[int, float | None]]:
  """Of each class: films where it is said, and its mask's mean share of them.

  Args:
    cover_SxG: share of a film that a class's own mask covers.
    said_SxG: whether it is said of the film.
  """
  counts_G = said_SxG.sum(axis=0)
  totals_G = np.where(said_SxG, cover_SxG, 0).sum(axis=0)
  return [
    (int(n), float(total / n) if n else None)
    for n, total in zip(counts_G, totals_G, strict=True)
  ]
