"""Left and right swapped in a text: the report of the mirrored patient."""

import re

_PAIRS = (
  ('left', 'right'),
  ('lt', 'rt'),
  ('lul', 'rul'),  # lobes of the lung; RML and lingula have no counterpart
  ('lll', 'rll'),
  ('levo', 'dextro'),
)
_OTHER = {a: b for pair in _PAIRS for a, b in (pair, pair[::-1])}
# Whole words ('upright' and 'bright' have no side) with their endings, and the
# beginnings of levoscoliosis, dextroconvex and the like, but of no cardia.
_SIDE = re.compile(
  r'(?<![a-z])(?:'
  r'(?P<word>left|right)(?=(?:wards?|most|sided)?(?![a-z]))'
  r'|(?P<short>lt|rt|lul|rul|lll|rll)(?![a-z])'
  r'|(?P<curve>levo|dextro)(?=-?(?:scoli|rotoscoli|conv|curv|rotat|posit))'
  r')',
  re.IGNORECASE,
)


def swap_sides(text):
  """The text with every left a right, and the other way round; case is kept.

  Words that are a place as much as a side are swapped, too: a mirrored patient
  has the right atrium on the left.
  """
  return _SIDE.sub(_swapped, text)


def _swapped(match):
  word = match[0]
  other = _OTHER[word.lower()]
  if word.isupper():
    return other.upper()
  return other.capitalize() if word[0].isupper() else other
