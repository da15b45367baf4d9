"""EKAGen's numbering of words."""

import numpy as np
import pytest

from input_pipeline import vocabularies
from input_pipeline.ekagen_words import EkagenTokenizer

REPORTS = ['The heart is normal. 12 ribs.', 'The heart is big. 12 ribs.'] * 2


def _tokenizer() -> EkagenTokenizer:
  return EkagenTokenizer.fit(REPORTS, min_count=3)


def test_numbers_and_times_are_no_words():
  stripped = '12 13 17 0500 1-2 -15 # #1 10am 8a 11th aa'.split()
  assert not any(map(EkagenTokenizer.is_word, stripped))
  kept = '. 1 10 11 2 7th l1 t12 a 1cm 3-mm <unk>'.split()
  assert all(map(EkagenTokenizer.is_word, kept))
  assert '12' not in _tokenizer().words


def test_ids():
  tokenizer = _tokenizer()
  assert tokenizer.words == ['.', '<unk>', 'heart', 'is', 'ribs', 'the']
  ids = tokenizer.encode(REPORTS[0])
  assert ids == [1, 8, 5, 6, 4, 3, 4, 7, 3, 2]
  assert tokenizer.encode(REPORTS[0], 4) == [1, 8, 5, 6]


def test_text():
  tokenizer = _tokenizer()
  assert tokenizer.decode([1, 8, 5, 0, 2, 7, 0]) == 'the heart'
  assert tokenizer.decode([8, 2, 7, 0], stop_at_end=False) == 'the ribs'
  assert tokenizer.tokens(np.array([8, 5, 2])) == ['the', 'heart']
  assert tokenizer.reference('The spleen.', 129) == 'the <unk> .'
  assert tokenizer.normal_form('the spleen') == 'the <unk>'
  with pytest.raises(ValueError, match='Id 9 is not'):
    tokenizer.decode([9])


def test_json():
  tokenizer = _tokenizer()
  again = vocabularies.from_json(tokenizer.to_json())
  assert isinstance(again, EkagenTokenizer)
  assert again.to_json() == tokenizer.to_json()
  assert again.vocabulary == len(tokenizer.words) + 3
  with pytest.raises(ValueError, match='sorted'):
    EkagenTokenizer(['b', 'a'], 'iu_xray')
