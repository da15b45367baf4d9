"""EKAGen's numbering of R2Gen's words: pad, start and end come first.

The cleaning is R2Gen's. Numbers, ranges and clock times are no words here: of
IU X-Ray's 760 words 757 are left. For MIMIC-CXR no rule gives the authors'
4,250 words: they are read from their file.
"""

import collections
import hashlib
import json
import re
from collections.abc import Iterable, Sequence

from input_pipeline.tokenizers import CLEANERS, EKAGEN, UNKNOWN, Tokenizer

PAD, START, END = 0, 1, 2
SPECIAL = 3
MAX_LENGTH = 129
# Numbers from 12 on, ranges, signed and numbered items, times of the day.
_NO_WORD = re.compile(
  r'(?!1[01]$)\d{2,}|\d+-\d+|-\d+|#\d?|\d+(am|pm|a|p)|11th|aa'
)


def is_stripped(token: str) -> bool:
  """Whether a cleaned token is left out of the vocabulary."""
  return _NO_WORD.fullmatch(token) is not None


class EkagenTokenizer(Tokenizer):
  """Words numbered from 3 in string order; 0 pads, 1 begins, 2 ends.

  Attributes:
    words: the vocabulary with '<unk>', sorted as strings; word i has id i + 3.
    clean: which text cleaning the words come from, a key of `CLEANERS`.
  """

  specials = SPECIAL

  def __init__(self, words: Sequence[str], clean: str):
    if clean not in CLEANERS:
      raise ValueError(
        f'clean is {clean!r}; expected one of {sorted(CLEANERS)}.'
      )
    self.words = list(words)
    self.clean = clean
    if self.words != sorted(set(self.words)) or UNKNOWN not in self.words:
      raise ValueError(
        f'A vocabulary must be sorted, without doubles, and hold {UNKNOWN!r}; '
        f'these {len(self.words)} words are not one.'
      )
    self._id_of = {word: i for i, word in enumerate(self.words, SPECIAL)}

  @classmethod
  def fit(
    cls,
    reports: Iterable[str],
    min_count: int = 3,
    clean: str = 'iu_xray',
    strip: bool = True,
  ) -> 'EkagenTokenizer':
    """Takes the words that appear at least `min_count` times in `reports`.

    Without `strip` numbers and times are words too.
    """
    if clean not in CLEANERS:
      raise ValueError(
        f'clean is {clean!r}; expected one of {sorted(CLEANERS)}.'
      )
    counts = collections.Counter()
    for report in reports:
      counts.update(CLEANERS[clean](report).split())
    words = {
      word
      for word, count in counts.items()
      if count >= min_count and not (strip and is_stripped(word))
    }
    return cls(sorted(words | {UNKNOWN}), clean)

  @property
  def vocab_size(self) -> int:
    """Number of words with '<unk>'; logits have SPECIAL more."""
    return len(self.words)

  def encode(self, report: str, max_length: int = MAX_LENGTH) -> list[int]:
    """[1] + word ids + [2], cut to `max_length`: a long report has no 2."""
    unknown = self._id_of[UNKNOWN]
    words = CLEANERS[self.clean](report).split()
    ids = [self._id_of.get(word, unknown) for word in words]
    return [START, *ids, END][:max_length]

  def decode(self, ids: Iterable[int], stop_at_end: bool = True) -> str:
    """Words joined by blanks; pads and the 1 are passed over.

    Args:
      ids: of `encode`, or as written.
      stop_at_end: False to pass over each 2 as well, as the authors do.

    Raises:
      ValueError: an id that is no word of this vocabulary.
    """
    words = []
    for i in ids:
      if stop_at_end and i == END:
        break
      if 0 <= i < SPECIAL:
        continue
      if not 0 <= i - SPECIAL < self.vocab_size:
        raise ValueError(
          f'Word id {i} is not in the vocabulary of {self.vocab_size} words: '
          f'is this the tokenizer that the model was trained with?'
        )
      words.append(self.words[i - SPECIAL])
    return ' '.join(words)

  def tokens(self, ids: Iterable[int]) -> list[str]:
    """The words of generated ids one by one, up to the first 2."""
    return self.decode(ids).split()

  def reference(self, report: str, max_length: int = MAX_LENGTH) -> str:
    """The text that EKAGen scores against: what training could have seen."""
    return self.decode(self.encode(report, max_length))

  def normal_form(self, text: str) -> str:
    """Text in the words that scores count: rare ones are '<unk>'."""
    return ' '.join(w if w in self._id_of else UNKNOWN for w in text.split())

  def to_json(self) -> dict:
    """A dict that `json` can write; `from_json` reads it back."""
    return {'numbering': EKAGEN, 'clean': self.clean, 'words': self.words}

  @classmethod
  def from_json(cls, fields: dict) -> 'EkagenTokenizer':
    """The tokenizer that `to_json` described."""
    if fields.get('numbering') != EKAGEN:
      raise ValueError("These words are not numbered as EKAGen's are.")
    return cls(fields['words'], fields['clean'])

  @property
  def fingerprint(self) -> str:
    """Hex digest of words, cleaning and numbering: equal means equal ids."""
    text = json.dumps(self.to_json(), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
