"""Pictures for the report page: images as data URIs, charts as inline SVG.

Colours and fonts come from the page's style sheet, by class name.
"""

import base64
import html
import io
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

IMAGE_SIZE = 256  # pixels; larger ones are shrunk, which bounds the page's size

_WIDTH, _HEIGHT = 340, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 12, 12, 26
_TICKS = 4


class Curve(NamedTuple):
  """One line of a chart; `style` is a class of the style sheet."""

  name: str
  style: str
  points: list[tuple[float, float]]


def image_uri(image_HxW: np.ndarray) -> str:
  """A grey image (uint8) as a PNG data URI."""
  picture = Image.fromarray(np.ascontiguousarray(image_HxW))
  picture.thumbnail((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.LANCZOS)
  png = io.BytesIO()
  picture.save(png, 'PNG', optimize=True)
  return 'data:image/png;base64,' + base64.b64encode(png.getvalue()).decode()


def attention_bytes(attention_TxIxhxw: np.ndarray) -> str:
  """Attention in base64, a byte per patch: 255 is a word's highest weight."""
  weights = np.nan_to_num(np.asarray(attention_TxIxhxw, np.float64))
  weights = np.maximum(weights, 0)
  peak = weights.max(axis=(1, 2, 3), keepdims=True, initial=1e-12)
  scaled = np.round(255 * weights / peak).astype(np.uint8)
  return base64.b64encode(scaled.tobytes()).decode()


def line_chart(
  title: str,
  curves: Sequence[Curve],
  chosen: float | None,
  from_zero: bool,
  across: str,
) -> str:
  """An SVG of curves.

  Args:
    title: what is drawn, for readers who do not see it.
    curves: at least one with a point.
    chosen: the place to mark on the horizontal axis, if any.
    from_zero: the vertical axis begins at 0, else below the lowest point.
    across: what the horizontal axis is, such as 'epoch'.
  """
  xs = [x for curve in curves for x, _ in curve.points]
  ys = [y for curve in curves for _, y in curve.points]
  ticks = _ticks(0.0 if from_zero else min(ys), max(ys))
  first, last = min(xs), max(xs)

  def at_x(x):
    share = (x - first) / (last - first) if last > first else 0.5
    return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

  def at_y(y):
    share = (y - ticks[0]) / (ticks[-1] - ticks[0])
    return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)

  parts = [
    f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
    f'aria-label="{html.escape(title)}">'
  ]
  for tick in ticks:
    y = at_y(tick)
    parts.append(
      f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" '
      f'y2="{y:.1f}"></line><text x="{_LEFT - 6}" y="{y + 3.5:.1f}" '
      f'text-anchor="end">{tick:.4g}</text>'
    )
  for x in sorted({first, last} | ({chosen} if chosen is not None else set())):
    parts.append(_place_label(x, at_x(x), chosen))
  for curve in curves:
    parts.append(_curve(curve, at_x, at_y, chosen, across))
  return ''.join([*parts, '</svg>'])


def _place_label(place, x, chosen):
  anchor = 'middle'
  label = f'<text x="{x:.1f}" y="{_HEIGHT - 8}" text-anchor="{anchor}"'
  if place != chosen:
    return f'{label}>{place:.4g}</text>'
  return (
    f'<line class="chosen" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" '
    f'y2="{_HEIGHT - _BOTTOM}"></line>'
    f'{label} class="chosen">{place:.4g}</text>'
  )


def _curve(curve, at_x, at_y, chosen, across):
  path = ' '.join(f'{at_x(x):.1f},{at_y(y):.1f}' for x, y in curve.points)
  dots = ''.join(
    f'<circle class="{curve.style}" cx="{at_x(x):.1f}" cy="{at_y(y):.1f}" '
    f'r="{3.5 if x == chosen else 1.8}"><title>{html.escape(curve.name)}, '
    f'{across} {x:.4g}: {y:.3f}</title></circle>'
    for x, y in curve.points
    if x == chosen or len(curve.points) <= 60
  )
  return f'<polyline class="{curve.style}" points="{path}"></polyline>{dots}'


def _ticks(low: float, high: float) -> list[float]:
  """Round numbers, evenly spaced, from at most `low` to at least `high`."""
  span = max(high - low, abs(high) * 1e-3, 1e-6)
  rough = span / _TICKS
  power = 10 ** math.floor(math.log10(rough))
  step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough)
  start = math.floor(low / step + 1e-9)
  stop = max(math.ceil(high / step - 1e-9), start + 1)
  return [round(i * step, 10) for i in range(start, stop + 1)]


def interval_bar(
  value: float, interval: tuple[float, float] | None, rival: float | None
) -> str:
  """A dot between 0 and 1 with its interval, and a rival's as a diamond."""
  width, height = 230, 14
  middle = height / 2

  def at(share):
    return 6 + min(max(share, 0), 1) * (width - 12)

  parts = [
    f'<svg class="bar" viewBox="0 0 {width} {height}" aria-hidden="true">'
    f'<line class="grid" x1="{at(0)}" x2="{at(1)}" y1="{middle}" '
    f'y2="{middle}"></line>'
  ]
  if interval:
    low, high = interval
    parts.append(
      f'<line class="interval" x1="{at(low):.1f}" x2="{at(high):.1f}" '
      f'y1="{middle}" y2="{middle}"></line>'
    )
  if rival is not None:
    x = at(rival)
    parts.append(
      f'<path class="rival" d="M{x:.1f} 2.5l4.5 4.5l-4.5 4.5l-4.5 -4.5z">'
      '</path>'
    )
  parts.append(
    f'<circle class="model" cx="{at(value):.1f}" cy="{middle}" r="4"></circle>'
  )
  return ''.join([*parts, '</svg>'])
