"""EKAGen's numbering of words."""

import numpy as np
import pytest

from input_pipeline.ekagen_words import EkagenTokenizer, is_stripped

REPORTS = ['The heart is normal. 12 ribs.', 'The heart is big. 12 ribs.'] * 2


def _tokenizer() -> EkagenTokenizer:
  return EkagenTokenizer.fit(REPORTS, min_count=3)


def test_numbers_and_times_are_no_words():
  stripped = '12 13 17 0500 1-2 -15 # #1 10am 8a 11th aa'.split()
  assert all(map(is_stripped, stripped))
  kept = '. 1 10 11 2 7th l1 t12 a 1cm 3-mm <unk>'.split()
  assert not any(map(is_stripped, kept))
  assert '12' not in _tokenizer().words
  assert '12' in EkagenTokenizer.fit(REPORTS, 3, strip=False).words


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
  with pytest.raises(ValueError, match='Word id 9'):
    tokenizer.decode([9])


def test_json_and_fingerprint():
  tokenizer = _tokenizer()
  again = EkagenTokenizer.from_json(tokenizer.to_json())
  assert again.words == tokenizer.words
  assert again.fingerprint == tokenizer.fingerprint
  with pytest.raises(ValueError, match='numbered'):
    EkagenTokenizer.from_json({'clean': 'iu_xray', 'words': []})
  with pytest.raises(ValueError, match='sorted'):
    EkagenTokenizer(['b', 'a'], 'iu_xray')
