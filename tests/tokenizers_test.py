import json

import pytest

from input_pipeline.tokenizers import (
  WordTokenizer,
  clean_iu_xray,
  clean_mimic_cxr,
)

REPORTS = [
  'The heart is normal. The lungs are clear.',
  'The heart is large. The lungs are clear.',
  'The heart is normal. No effusion.',
]


@pytest.fixture
def tokenizer():
  return WordTokenizer.fit(REPORTS, min_count=2)


@pytest.mark.parametrize(
  ('report', 'cleaned'),
  [
    ('Heart is big. Lungs, clear.', 'heart is big . lungs clear .'),
    ('1. Clear lungs. 2. Big heart.', 'clear lungs . big heart .'),
    ('Findings 2. two 5. five', 'findings . two . five .'),
    ('A ten-day-old T11 fracture.', 'a ten-day-old t11 fracture .'),
    ('Seen at 5/6, 3.5 cm (left).', 'seen at 56 35 cm left .'),
    ('Wait... what..', 'wait . what .'),
    ('One.. two', 'one . two .'),
    ('a <b> = c @ d [e] {f} ^g', 'a b  c  d e f g .'),
    ('|~`#$', '|~`#$ .'),
    ('"Quoted" it\'s \\ here', 'quoted its  here .'),
    ('ÉPANCHEMENT À GAUCHE.', 'épanchement à gauche .'),
    ('XXXX is XXXX. XXXX', 'xxxx is xxxx . xxxx .'),
    ('', ' .'),
    ('.', ' .'),
    ('?!. ;,.', ' .  .'),
    ('1. a. 2. b.', 'a . b .'),
  ],
)
def test_iu_xray_cleaning(report, cleaned):
  assert clean_iu_xray(report) == cleaned


@pytest.mark.parametrize(
  ('report', 'cleaned'),
  [
    ('Heart\nis  big.\n\nLungs are clear.', 'heart is big . lungs are clear .'),
    ('___ year old', ' year old .'),
    ('Wait........... what', 'wait . what .'),
    ('1. a. 2. b.', 'a . b .'),
  ],
)
def test_mimic_cxr_cleaning(report, cleaned):
  assert clean_mimic_cxr(report) == cleaned


def test_words_are_counted_sorted_and_numbered_from_one(tokenizer):
  assert tokenizer.words == [
    '.', '<unk>', 'are', 'clear', 'heart', 'is', 'lungs', 'normal', 'the',
  ]  # fmt: skip
  assert tokenizer.vocab_size == 9
  assert tokenizer.encode('Heart normal') == [0, 5, 8, 1, 0]


def test_rare_words_become_unknown(tokenizer):
  assert 'effusion' not in tokenizer.words
  assert tokenizer.encode('Effusion.') == [0, 2, 1, 0]
  assert tokenizer.reference('Big heart.', 60) == '<unk> heart .'


def test_a_long_report_loses_its_end(tokenizer):
  ids = tokenizer.encode('heart ' * 80, max_length=60)
  assert ids == [0] + [5] * 59
  assert tokenizer.reference('heart ' * 80, 60).split() == ['heart'] * 59


def test_cut_exactly_behind_the_last_word_drops_only_the_end(tokenizer):
  assert tokenizer.encode('heart', max_length=4) == [0, 5, 1, 0]
  assert tokenizer.encode('heart', max_length=3) == [0, 5, 1]


def test_decode_stops_at_the_first_end(tokenizer):
  assert tokenizer.decode([5, 6, 0, 8]) == 'heart is'
  assert tokenizer.decode([]) == ''
  assert tokenizer.decode([0, 5]) == ''
  assert tokenizer.decode([0, 5, 0], skip_first=True) == 'heart'


@pytest.mark.parametrize('bad', [10, -1])
def test_decode_names_ids_of_another_vocabulary(tokenizer, bad):
  with pytest.raises(ValueError, match=f'{bad} is not in the vocabulary of 9'):
    tokenizer.decode([5, bad])


@pytest.mark.parametrize('clean', ['iu_xray', 'mimic_cxr'])
@pytest.mark.parametrize('report', ['', ' ', '...', '\n', '1. ', 'ﬁ\u00a0İ 心'])
def test_odd_reports_encode_and_decode(clean, report):
  tokenizer = WordTokenizer.fit([report], min_count=1, clean=clean)
  ids = tokenizer.encode(report)
  assert ids[0] == ids[-1] == 0
  assert all(0 < i <= tokenizer.vocab_size for i in ids[1:-1])
  assert tokenizer.reference(report, 60).endswith('.')


def test_json_keeps_ids_and_fingerprint(tokenizer):
  fields = json.loads(json.dumps(tokenizer.to_json()))
  copy = WordTokenizer.from_json(fields)
  assert copy.encode(REPORTS[1]) == tokenizer.encode(REPORTS[1])
  assert copy.fingerprint == tokenizer.fingerprint


def test_fingerprint_tells_words_and_cleaning(tokenizer):
  others = [
    WordTokenizer.fit(REPORTS, min_count=1),
    WordTokenizer.fit(REPORTS, min_count=2, clean='mimic_cxr'),
  ]
  prints = {t.fingerprint for t in [tokenizer, *others]}
  assert len(prints) == 3


def test_refuses_unknown_cleaning_and_broken_vocabularies():
  with pytest.raises(ValueError, match="clean is 'iu'"):
    WordTokenizer.fit(REPORTS, clean='iu')
  with pytest.raises(ValueError, match='sorted'):
    WordTokenizer(['b', 'a', '<unk>'], 'iu_xray')
