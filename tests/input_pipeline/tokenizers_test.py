import json

import pytest

from input_pipeline import vocabularies
from input_pipeline.tokenizers import (
  SentencePieceTokenizer,
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
  assert tokenizer.encode('heart', max_length=4) == [0, 5, 1, 0]
  assert tokenizer.encode('heart', max_length=3) == [0, 5, 1]
  assert tokenizer.encode('heart ' * 80) == [0] + [5] * 59
  assert tokenizer.reference('heart ' * 80, 60).split() == ['heart'] * 59


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


def test_json_keeps_words(tokenizer):
  fields = json.loads(json.dumps(tokenizer.to_json()))
  copy = vocabularies.from_json(fields)
  assert copy.encode(REPORTS[1]) == tokenizer.encode(REPORTS[1])
  assert copy.to_json() == tokenizer.to_json()


def test_refuses_unknown_cleaning_and_broken_vocabularies():
  with pytest.raises(ValueError, match="clean is 'iu'"):
    WordTokenizer.fit(REPORTS, clean='iu')
  with pytest.raises(ValueError, match='sorted'):
    WordTokenizer(['b', 'a', '<unk>'], 'iu_xray')


def test_normal_form_hides_rare_words_and_nothing_else(tokenizer):
  assert tokenizer.normal_form('heart  is huge .') == 'heart is <unk> .'
  text = tokenizer.reference('Big heart. Lungs are clear.', 60)
  assert tokenizer.normal_form(text) == text


MANY = [
  f'The {organ} {verb} {state} in size. No {disease} on the {side}.'
  for organ, verb in (('heart', 'is'), ('lungs', 'are'), ('hila', 'are'))
  for state in ('normal', 'large', 'small', 'stable')
  for disease in ('effusion', 'pneumothorax', 'opacity')
  for side in ('left', 'right')
]


@pytest.fixture(params=['unigram', 'bpe'], scope='module')
def pieces(request):
  return SentencePieceTokenizer.fit(MANY, 36, request.param, 'iu_xray')


def test_pieces_give_back_the_cleaned_text(pieces):
  for report in MANY:
    ids = pieces.encode(report, 200)
    assert ids[0] == ids[-1] == 0
    assert 0 < min(ids[1:-1]) <= max(ids) <= pieces.vocab_size == 36
    expected = ' '.join(clean_iu_xray(report).split())
    assert pieces.decode(ids, skip_first=True) == expected
    assert pieces.decode(ids[1:]) == expected
    assert pieces.reference(report, 200) == expected


def test_pieces_are_cut_like_words(pieces):
  whole = pieces.encode(MANY[0], 200)
  assert pieces.encode(MANY[0], 5) == whole[:5]
  assert pieces.encode(MANY[0], len(whole)) == whole


def test_pieces_write_words_that_were_never_seen(pieces):
  """Words would give <unk>; pieces only for letters that were never seen."""
  assert pieces.reference('Left heart sinus.', 60) == 'left heart sinus .'
  assert pieces.reference('心 heart', 60) == '<unk> heart .'


def test_pieces_are_the_same_each_time(pieces):
  again = SentencePieceTokenizer.fit(iter(MANY), 36, pieces.kind, 'iu_xray')
  assert again.to_json() == pieces.to_json()
  other = SentencePieceTokenizer.fit(MANY, 37, pieces.kind, 'iu_xray')
  assert other.to_json() != pieces.to_json()


def test_json_keeps_pieces(pieces):
  fields = json.loads(json.dumps(pieces.to_json()))
  copy = vocabularies.from_json(fields)
  assert copy.encode(MANY[3], 60) == pieces.encode(MANY[3], 60)
  assert copy.to_json() == pieces.to_json()
  with pytest.raises(ValueError, match='No SentencePiece model'):
    vocabularies.from_json(fields | {'model': '!'})
  with pytest.raises(ValueError, match='No SentencePiece model'):
    vocabularies.from_json(fields | {'model': 'AAAA'})


@pytest.mark.parametrize('bad', [37, -1])
def test_decode_names_pieces_of_another_vocabulary(pieces, bad):
  with pytest.raises(ValueError, match=f'{bad} is not in the vocabulary of 36'):
    pieces.decode([5, bad])


@pytest.mark.parametrize('report', ['', ' ', '...', '\n', 'ﬁ\u00a0İ 心'])
def test_odd_reports_have_pieces(pieces, report):
  assert pieces.reference(report, 60).endswith('.')


def test_pieces_that_cannot_be_trained_say_why():
  with pytest.raises(ValueError, match=r'9000 pieces .* too high'):
    SentencePieceTokenizer.fit(MANY, 9000, 'bpe', 'iu_xray')
  with pytest.raises(ValueError, match=r'9000 pieces .* too high'):
    SentencePieceTokenizer.fit(MANY, 9000, 'unigram', 'iu_xray')
  with pytest.raises(ValueError, match='3 pieces'):
    SentencePieceTokenizer.fit(MANY, 3, 'unigram', 'iu_xray')
  with pytest.raises(ValueError, match="kind is 'char'"):
    SentencePieceTokenizer.fit(MANY, 60, 'char', 'iu_xray')
  with pytest.raises(ValueError, match="clean is 'iu'"):
    SentencePieceTokenizer.fit(MANY, 60, 'bpe', 'iu')
