"""The rule labeler against sentences written and read by hand."""

import pathlib
import re
import time

import pytest

from input_pipeline.findings import (
  ATTRIBUTES,
  CHEXPERT_14,
  CLASS_OF_FINDING,
  DRAWN_FINDINGS,
  FINDINGS,
  LABEL_SETS,
  Finding,
  chexpert_labels,
  mesh_labels,
  read_findings,
  reader,
)

STATUS = {'+': 'positive', '-': 'negative', '?': 'uncertain'}
ATTRIBUTE_OF = {
  **dict.fromkeys(('left', 'right', 'bilateral'), 'side'),
  **dict.fromkeys(('upper', 'mid', 'lower'), 'zone'),
  **dict.fromkeys(('mild', 'moderate', 'severe'), 'severity'),
}


def read_sentences():
  """(sentence, expected findings) from the file beside this one."""
  path = pathlib.Path(__file__).parent / 'findings_sentences.txt'
  pairs = []
  for line in path.read_text().splitlines():
    if line and not line.startswith('#'):
      sentence, expected = line.split('=>')
      marks = re.findall(r'([+?-])([a-z][a-z ]*[a-z])(?:\((.*?)\))?', expected)
      pairs.append((sentence.strip(), [expect(*mark) for mark in marks]))
  return pairs


def expect(sign, name, words):
  assert name in FINDINGS
  attributes = {ATTRIBUTE_OF[word]: word for word in words.split(',') if word}
  return Finding(name, **attributes, status=STATUS[sign])


SENTENCES = read_sentences()


def as_tokens(report):
  """The form in which a word-level model writes: no punctuation but ' . '."""
  report = re.sub(
    r'[^a-z0-9. ]', ' ', report.lower().replace(' xxxx', ' <unk>')
  )
  return re.sub(r'\s+', ' ', report.replace('.', ' . ')).strip()


def positives(labels):
  return {name for name, status in labels.items() if status == 'positive'}


@pytest.mark.parametrize(('sentence', 'expected'), SENTENCES)
def test_sentence(sentence, expected):
  assert list(read_findings(sentence)) == expected


def test_the_sentences_cover_the_vocabulary():
  assert len(SENTENCES) >= 150
  stated = {
    (finding.name, finding.status)
    for _, expected in SENTENCES
    for finding in expected
  }
  assert {name for name, _ in stated} == set(FINDINGS)
  assert {status for _, status in stated} == set(STATUS.values())


def test_tokenised_text_reads_like_the_raw_text():
  # Commas and semicolons bear meaning in a few sentences; most do without.
  without = [pair for pair in SENTENCES if not set(',;-/1') & set(pair[0])]
  assert len(without) > 150
  for sentence, expected in without:
    assert list(read_findings(as_tokens(sentence))) == expected


def test_case_and_line_breaks_do_not_matter():
  for sentence, expected in SENTENCES:
    found = read_findings(sentence.upper().replace(' ', '\n  '))
    assert list(found) == expected


def test_sentences_do_not_leak_into_each_other():
  report = 'No pneumothorax. {} No fracture.'
  bare = [pair for pair in SENTENCES if '.' not in pair[0][:-1]]
  for sentence, expected in bare:
    if sentence.endswith('.') and not any(
      finding.name in ('pneumothorax', 'fracture') for finding in expected
    ):
      found = read_findings(report.format(sentence))
      assert list(found[1:-1]) == expected
      assert [f.status for f in (found[0], found[-1])] == ['negative'] * 2


def test_empty_report_states_nothing():
  assert read_findings('') == ()
  assert read_findings('. . <unk> .') == ()


def test_findings_carry_only_their_attributes():
  assert set(ATTRIBUTES) == set(FINDINGS)
  assert len(DRAWN_FINDINGS) == 17
  for _, expected in SENTENCES:
    for finding in expected:
      for attribute in ('side', 'zone', 'severity'):
        if attribute not in ATTRIBUTES[finding.name]:
          assert getattr(finding, attribute) == ''


def test_chexpert_labels_keep_the_surest_word():
  labels = chexpert_labels(
    'No large effusion. Small left effusion. Possible pneumonia. Left PICC. '
    'Heart size is normal. Tortuous aorta.'
  )
  assert list(labels) == list(CHEXPERT_14)
  assert labels['Pleural Effusion'] == 'positive'
  assert labels['Pneumonia'] == 'uncertain'
  assert labels['Cardiomegaly'] == 'negative'
  assert labels['Enlarged Cardiomediastinum'] == 'positive'
  assert labels['Support Devices'] == 'positive'
  assert labels['Fracture'] is None
  assert labels['No Finding'] is None


@pytest.mark.parametrize(
  ('report', 'no_finding'),
  [
    ('The lungs are clear. Right PICC line.', 'positive'),
    ('', 'positive'),
    ('Mild scoliosis. Calcified granuloma.', 'positive'),
    ('Possible nodule.', None),
    ('Cardiomegaly.', None),
  ],
)
def test_no_finding_forgives_devices_and_bystanders(report, no_finding):
  assert chexpert_labels(report)['No Finding'] == no_finding


def test_every_mapped_class_is_chexperts():
  assert set(CLASS_OF_FINDING) <= set(FINDINGS)
  assert set(CLASS_OF_FINDING.values()) == set(CHEXPERT_14) - {'No Finding'}


@pytest.mark.parametrize(
  ('term', 'name'),
  [
    ('Aorta/tortuous', 'Enlarged Cardiomediastinum'),
    ('Aorta, Thoracic/tortuous/mild', 'Enlarged Cardiomediastinum'),
    ('Cardiac Shadow/enlarged/mild', 'Cardiomegaly'),
    ('Mediastinum/prominent', 'Enlarged Cardiomediastinum'),
    ('Cardiomegaly/borderline', 'Cardiomegaly'),
    ('Opacity/lung/base/left', 'Lung Opacity'),
    ('Density/retrocardiac', 'Lung Opacity'),
    ('Markings/lung/interstitial', 'Lung Opacity'),
    ('Lung/bilateral/interstitial/prominent', 'Lung Opacity'),
    ('Nodule/lung/apex/right', 'Lung Lesion'),
    ('Lung Neoplasms', 'Lung Lesion'),
    ('Pulmonary Edema/mild', 'Edema'),
    ('Heart Failure', 'Edema'),
    ('Consolidation/lung/right', 'Consolidation'),
    ('Bronchopneumonia', 'Pneumonia'),
    ('Pulmonary Atelectasis/base/left', 'Atelectasis'),
    ('Pneumothorax/left/small', 'Pneumothorax'),
    ('Pleural Effusion/right', 'Pleural Effusion'),
    ('Thickening/pleura/apex/bilateral', 'Pleural Other'),
    ('Fractures, Bone/ribs/left/healed', 'Fracture'),
    ('Catheters, Indwelling/right', 'Support Devices'),
    ('Tube, Inserted/trachea', 'Support Devices'),
    ('Tube', 'Support Devices'),
  ],
)
def test_mesh_term(term, name):
  expected = {name}
  if name == 'Support Devices':
    expected.add('No Finding')
  assert positives(mesh_labels([term])) == expected
  assert positives(mesh_labels([term.upper() + ' '])) == expected


@pytest.mark.parametrize(
  'term',
  [
    'normal',
    'Density/ribs/right',
    'Density/bilateral/round/small',
    'Mass/breast/large',
    'Tuberculosis/lung/healed',
    'Cardiac Shadow/irregular',
    'Markings/bronchovascular',
    'Aorta/obscured',
    'Calcified Granuloma/lung/base/right',
    'Mastectomy/left',
    'Pericardial Effusion',
    'Lung/hypoinflation',
  ],
)
def test_mesh_term_without_a_class(term):
  assert positives(mesh_labels([term])) == {'No Finding'}


def test_mesh_pneumothorax_with_fluid_is_both():
  assert positives(mesh_labels(['Hydropneumothorax/left'])) == {
    'Pneumothorax',
    'Pleural Effusion',
  }


def test_mesh_round_means_nodular():
  assert positives(mesh_labels(['Opacity/lung/apex/left/round'])) == {
    'Lung Opacity',
    'Lung Lesion',
  }


@pytest.mark.parametrize(
  ('terms', 'expected'),
  [
    (['Nodule/lung/base', 'Calcinosis/lung/base'], {'No Finding'}),
    (
      ['Density/lung/apex/left/round', 'Calcified Granuloma/lung/apex/left'],
      {'No Finding'},
    ),
    (['Nodule/lung/apex', 'Calcinosis/lung/base'], {'Lung Lesion'}),
    (['Nodule/lung/apex', 'Calcified Granuloma'], {'Lung Lesion'}),
    (['Density/lung/base', 'Calcinosis/aorta'], {'Lung Opacity'}),
    (['Opacity/lung/base', 'Calcinosis/lung/base'], {'Lung Opacity'}),
  ],
)
def test_a_calcified_nodule_is_no_lesion(terms, expected):
  assert positives(mesh_labels(terms)) == expected


def test_unindexed_studies_are_unknown_not_normal():
  assert mesh_labels(['No Indexing']) is None
  assert mesh_labels([]) is None
  assert set(LABEL_SETS['chexpert'].from_mesh([]).values()) == {None}


def test_three_thousand_reports_take_seconds():
  report = ' '.join(sentence for sentence, _ in SENTENCES[::33])
  started = time.process_time()
  for i in range(300):
    read_findings(f'{report} {i}')  # no text twice: readings are kept
  # A tenth of 3,000 reports in 3 s, with room for a slow machine.
  assert time.process_time() - started < 1.5


def test_a_text_is_read_once(monkeypatch):
  texts = []

  def counting(report):
    texts.append(report)
    return reader_normalize(report)

  reader_normalize = reader.normalize
  monkeypatch.setattr(reader, 'normalize', counting)
  report = 'A text of this test alone: small left effusion.'
  first = read_findings(report)
  assert read_findings(report) is first
  assert LABEL_SETS['iu'].from_text(report)['Pleural Effusion'] == 'positive'
  labels = chexpert_labels(report)
  labels.clear()  # the caller's own
  assert chexpert_labels(report)['Pleural Effusion'] == 'positive'
  assert texts == [report]
