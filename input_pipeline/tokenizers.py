"""Reports to word ids and back, with exactly the words and ids of R2Gen.

The vocabulary is not in the authors' checkpoints: it is fitted again from the
train reports, so every quirk of their text cleaning is kept here on purpose.
"""

import collections
import hashlib
import json
import re

END = 0  # begins, ends and pads a report
UNKNOWN = '<unk>'

# The authors wrote the range ':-[' where they meant three characters: hyphens
# and digits survive, while '<=>?@', A-Z and '[' go.
_DROPPED = re.compile(r'["/\\\']')
_STRIPPED = re.compile(r'[.,?;*!%^&_+():-\[\]{}]')


def _repeat(text, old, new, times):
  """`times` passes, not until nothing changes: long runs survive in part."""
  for _ in range(times):
    text = text.replace(old, new)
  return text


def _drop_list_numbers(text):
  text = text.replace('1. ', '')
  for before in ('. ', ' '):
    for number in '2345':
      text = text.replace(f'{before}{number}. ', '. ')
  return text


def _clean_sentence(sentence):
  return _STRIPPED.sub('', _DROPPED.sub('', sentence).strip())


def _join_sentences(text):
  """Cleans each sentence; empty ones stay and leave ' .  .' behind."""
  sentences = _drop_list_numbers(text).strip().lower().split('. ')
  return ' . '.join(_clean_sentence(s) for s in sentences) + ' .'


def clean_iu_xray(report):
  """R2Gen's cleaning of an IU X-Ray report: lower-case words and ' . '."""
  return _join_sentences(_repeat(report, '..', '.', 3))


def clean_mimic_cxr(report):
  """R2Gen's cleaning of a MIMIC-CXR report: lines joined, blanks collapsed."""
  report = _repeat(report.replace('\n', ' '), '__', '_', 7)
  report = _repeat(report, '  ', ' ', 6)
  return _join_sentences(_repeat(report, '..', '.', 6))


CLEANERS = {'iu_xray': clean_iu_xray, 'mimic_cxr': clean_mimic_cxr}


class WordTokenizer:
  """Words numbered from 1 in string order; 0 begins, ends and pads.

  Attributes:
    words: the vocabulary with '<unk>', sorted as strings; word i has id i + 1.
    clean: which text cleaning the words come from, a key of `CLEANERS`.
  """

  def __init__(self, words, clean):
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
    self._id_of = {word: i + 1 for i, word in enumerate(self.words)}

  @classmethod
  def fit(cls, reports, min_count=3, clean='iu_xray'):
    """Takes the words that appear at least `min_count` times in `reports`."""
    if clean not in CLEANERS:
      raise ValueError(
        f'clean is {clean!r}; expected one of {sorted(CLEANERS)}.'
      )
    counts = collections.Counter()
    for report in reports:
      counts.update(CLEANERS[clean](report).split())
    words = {word for word, count in counts.items() if count >= min_count}
    return cls(sorted(words | {UNKNOWN}), clean)

  @property
  def vocab_size(self):
    """Number of words with '<unk>', the 0 not counted: logits have one more."""
    return len(self.words)

  def encode(self, report, max_length=60):
    """[0] + word ids + [0], cut to `max_length`: a long report has no end 0."""
    unknown = self._id_of[UNKNOWN]
    words = CLEANERS[self.clean](report).split()
    ids = [self._id_of.get(word, unknown) for word in words]
    return [END, *ids, END][:max_length]

  def decode(self, ids, skip_first=False):
    """Words up to the first 0, joined by blanks.

    Generated ids have no beginning 0. Training ids (those of `encode`) have
    one: `skip_first=True` steps over it.
    """
    words = []
    for i in ids[1:] if skip_first else ids:
      if i == END:
        break
      if not 0 < i <= self.vocab_size:
        raise ValueError(
          f'Word id {i} is not in the vocabulary of {self.vocab_size} words: '
          f'is this the tokenizer that the model was trained with?'
        )
      words.append(self.words[i - 1])
    return ' '.join(words)

  def reference(self, report, max_length):
    """The text that R2Gen scores against: what training could have seen."""
    return self.decode(self.encode(report, max_length), skip_first=True)

  def to_json(self):
    """A dict that `json` can write; `from_json` reads it back."""
    return {'clean': self.clean, 'words': self.words}

  @classmethod
  def from_json(cls, fields):
    """The tokenizer that `to_json` described."""
    return cls(fields['words'], fields['clean'])

  @property
  def fingerprint(self):
    """Hex digest of the words and the cleaning: equal means equal ids."""
    text = json.dumps(self.to_json(), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
