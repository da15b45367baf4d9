"""Reports to ids and back: the words of R2Gen exactly, or SentencePiece.

The vocabulary is not in the authors' checkpoints: it is fitted again from the
train reports, so every quirk of their text cleaning is kept here on purpose.
Pieces are of the same cleaned text.
"""

import base64
import collections
import io
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import sentencepiece

from input_pipeline.errors import UserError

END = 0  # begins, ends and pads a report
UNKNOWN = '<unk>'
EKAGEN = 'ekagen'  # the numbering of ekagen_words.py

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


def clean_iu_xray(report: str) -> str:
  """R2Gen's cleaning of an IU X-Ray report: lower-case words and ' . '."""
  return _join_sentences(_repeat(report, '..', '.', 3))


def clean_mimic_cxr(report: str) -> str:
  """R2Gen's cleaning of a MIMIC-CXR report: lines joined, blanks collapsed."""
  report = _repeat(report.replace('\n', ' '), '__', '_', 7)
  report = _repeat(report, '  ', ' ', 6)
  return _join_sentences(_repeat(report, '..', '.', 6))


CLEANERS = {'iu_xray': clean_iu_xray, 'mimic_cxr': clean_mimic_cxr}
PIECE_KINDS = ('unigram', 'bpe')


class Tokenizer:
  """What words and pieces share: ids from 1 on; 0 begins, ends and pads.

  Attributes:
    clean: which text cleaning the vocabulary comes from, a key of `CLEANERS`.
    vocab_size: how many words or pieces there are.
    specials: ids that are none, and come before them.
    start: the id that begins a report.
    end: the id that ends one.
  """

  clean: str
  vocab_size: int
  specials = 1
  start = end = END

  @property
  def vocabulary(self) -> int:
    """Ids that a model must know, those that are none counted."""
    return self.vocab_size + self.specials

  def encode(self, report: str, max_length: int = 60) -> list[int]:
    """[start] + ids + [end], cut to `max_length`: a long report has no end."""
    return [self.start, *self._ids_of(report), self.end][:max_length]

  def checked(self, i: int) -> int:
    """An id of a word or piece; UserError of any other."""
    if not self.specials <= i < self.vocabulary:
      raise UserError(
        f'Id {i} is not in the vocabulary of {self.vocab_size}: is this the '
        f'tokenizer that the model was trained with?'
      )
    return int(i)

  def decode(self, ids: Sequence[int], skip_first: bool = False) -> str:
    """Text up to the first 0, its words with single blanks between them.

    Generated ids have no beginning 0. Training ids (those of `encode`) have
    one: `skip_first=True` steps over it.
    """
    known = []
    for i in ids[1:] if skip_first else ids:
      if i == END:
        break
      known.append(self.checked(i))
    return self._text_of(known)

  def tokens(self, ids: Sequence[int]) -> list[str]:
    """The words or pieces of generated ids one by one, up to the first 0."""
    ended = np.flatnonzero(np.asarray(ids) == END)
    length = ended[0] if ended.size else len(ids)
    return [self.decode([i]) for i in ids[:length]]

  def reference(self, report: str, max_length: int) -> str:
    """The text that R2Gen scores against: what training could have seen."""
    return self.decode(self.encode(report, max_length), skip_first=True)


class WordTokenizer(Tokenizer):
  """Words numbered in string order.

  Attributes:
    words: the vocabulary with '<unk>', sorted as strings; word i has id i + 1.
  """

  def __init__(self, words: Sequence[str], clean: str):
    _check_clean(clean)
    self.words = list(words)
    self.clean = clean
    if self.words != sorted(set(self.words)) or UNKNOWN not in self.words:
      raise UserError(
        f'A vocabulary must be sorted, without doubles, and hold {UNKNOWN!r}; '
        f'these {len(self.words)} words are not one.'
      )
    self._id_of = {w: i for i, w in enumerate(self.words, self.specials)}
    self.vocab_size = len(self.words)

  @classmethod
  def fit(
    cls, reports: Iterable[str], min_count: int = 3, clean: str = 'iu_xray'
  ) -> 'WordTokenizer':
    """Takes the words that appear at least `min_count` times in `reports`."""
    _check_clean(clean)
    counts = collections.Counter()
    for report in reports:
      counts.update(CLEANERS[clean](report).split())
    words = {
      word
      for word, count in counts.items()
      if count >= min_count and cls.is_word(word)
    }
    return cls(sorted(words | {UNKNOWN}), clean)

  @staticmethod
  def is_word(token: str) -> bool:
    """Whether a cleaned token may be in the vocabulary: any may."""
    del token
    return True

  def _ids_of(self, report):
    unknown = self._id_of[UNKNOWN]
    words = CLEANERS[self.clean](report).split()
    return [self._id_of.get(word, unknown) for word in words]

  def _text_of(self, ids):
    return ' '.join(self.words[i - self.specials] for i in ids)

  def normal_form(self, text: str) -> str:
    """Generated text in the words that scores count: rare ones are '<unk>'.

    Text that this tokenizer has decoded stays as it is.
    """
    return ' '.join(w if w in self._id_of else UNKNOWN for w in text.split())

  def to_json(self) -> dict[str, Any]:
    """A dict that `json` can write; `vocabularies.from_json` reads it back."""
    return {'clean': self.clean, 'words': self.words}


class SentencePieceTokenizer(Tokenizer):
  """Pieces of the cleaned text.

  Attributes:
    kind: 'unigram' or 'bpe'.
  """

  def __init__(self, model: bytes, kind: str, clean: str):
    """`model` is a SentencePiece model."""
    _check_clean(clean)
    self.kind = kind
    self.clean = clean
    self._model = model
    self._pieces = sentencepiece.SentencePieceProcessor(model_proto=model)
    self.vocab_size = self._pieces.vocab_size() - 1

  @classmethod
  def fit(
    cls, reports: Iterable[str], pieces: int, kind: str, clean: str
  ) -> 'SentencePieceTokenizer':
    """Trains exactly `pieces` pieces, '<unk>' one of them, on `reports`.

    The same reports in the same order give the same pieces.
    """
    if kind not in PIECE_KINDS:
      raise UserError(f'kind is {kind!r}; expected one of {PIECE_KINDS}.')
    _check_clean(clean)
    model = io.BytesIO()
    try:
      sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=(_normal(report, clean) for report in reports),
        model_writer=model,
        model_type=kind,
        vocab_size=pieces + 1,
        pad_id=END,
        unk_id=END + 1,
        bos_id=-1,
        eos_id=-1,
        unk_surface=UNKNOWN,
        normalization_rule_name='identity',  # the text is cleaned already
        split_by_unicode_script=False,  # '. ' is one piece
        # Unigram pieces of IU X-Ray with the blank before the word are cut
        # so small that a report has 54 of them instead of 39.
        treat_whitespace_as_suffix=True,
        character_coverage=1.0,
        max_sentence_length=1_000_000,  # bytes; longer ones are left out
        num_threads=1,  # more would not give the same pieces each time
        minloglevel=2,
      )
    except RuntimeError as error:
      reason = str(error).rsplit(']', 1)[-1].strip()
      raise UserError(
        f'{pieces} pieces of kind {kind!r} cannot be trained on these '
        f'reports: {reason}'
      ) from error
    return cls(model.getvalue(), kind, clean)

  def count(self, report: str) -> int:
    """How many pieces a report has, the 0 at both ends not counted."""
    return len(self._ids_of(report))

  def _ids_of(self, report):
    return self._pieces.encode(_normal(report, self.clean))

  def _text_of(self, ids):
    return ' '.join(self._pieces.decode(ids).split())

  def to_json(self) -> dict[str, Any]:
    """A dict that `json` can write; `vocabularies.from_json` reads it back."""
    return {
      'clean': self.clean,
      'kind': self.kind,
      'model': base64.b64encode(self._model).decode(),
    }


def encode_reports(
  tokenizer: Tokenizer, reports: Sequence[str], max_length: int
) -> np.ndarray:
  """[0] + ids + [0] of each report, zero padded, int32 (S, max_length)."""
  ids_SxT = np.zeros((len(reports), max_length), np.int32)
  for row, report in zip(ids_SxT, reports, strict=True):
    ids = tokenizer.encode(report, max_length)
    row[: len(ids)] = ids
  return ids_SxT


def _check_clean(clean):
  if clean not in CLEANERS:
    raise UserError(f'clean is {clean!r}; expected one of {sorted(CLEANERS)}.')


def _normal(report, clean):
  """The cleaned report with single blanks, as `decode` gives it back."""
  return ' '.join(CLEANERS[clean](report).split())
