"""EKAGen's numbering of R2Gen's words: pad, start and end come first.

The cleaning is R2Gen's. Numbers, ranges and clock times are no words here: of
IU X-Ray's 760 words 757 are left. For MIMIC-CXR no rule gives the authors'
4,250 words: they are read from their file.
"""

import re
from collections.abc import Iterable

from input_pipeline.tokenizers import EKAGEN, WordTokenizer

START, END = 1, 2  # 0 pads
# Numbers from 12 on, ranges, signed and numbered items, times of the day.
_NO_WORD = re.compile(
  r'(?!1[01]$)\d{2,}|\d+-\d+|-\d+|#\d?|\d+(am|pm|a|p)|11th|aa'
)


class EkagenTokenizer(WordTokenizer):
  """Words numbered from 3 in string order; 0 pads, 1 begins, 2 ends.

  Its `words` and `clean` are those of a `WordTokenizer`.
  """

  specials = 3
  start, end = START, END

  @staticmethod
  def is_word(token: str) -> bool:
    """Whether a cleaned token may be in the vocabulary."""
    return _NO_WORD.fullmatch(token) is None

  def decode(self, ids: Iterable[int], stop_at_end: bool = True) -> str:
    """Words joined by blanks; pads and the 1 are passed over.

    Args:
      ids: of `encode`, or as written.
      stop_at_end: False to pass over each 2 as well, as the authors do.

    Raises:
      ValueError: an id that is no word of this vocabulary.
    """
    known = []
    for i in ids:
      if stop_at_end and i == END:
        break
      if not 0 <= i < self.specials:
        known.append(self.checked(i))
    return self._text_of(known)

  def tokens(self, ids: Iterable[int]) -> list[str]:
    """The words of generated ids one by one, up to the first 2."""
    return self.decode(ids).split()

  def reference(self, report: str, max_length: int) -> str:
    """The text that EKAGen scores against: what training could have seen."""
    return self.decode(self.encode(report, max_length))

  def to_json(self) -> dict:
    """See `WordTokenizer`."""
    return {'numbering': EKAGEN, **super().to_json()}
