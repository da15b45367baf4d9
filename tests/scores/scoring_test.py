"""What stands in test.json, on a handful of made studies."""

import dataclasses

import numpy as np
import pytest

from cmn_jax.scores.scoring import (
  SplitScorer,
  thumbnails,
  trivial_reports,
)
from input_pipeline.findings_reader import findings_reader
from tests.made.results import check_intervals, intervals_of

TEXTS = [
  'the heart is mildly enlarged . no pleural effusion .',
  'there is a small left pleural effusion .',
  'the lungs are clear . no pneumothorax .',
  'there is a nodule in the right upper lung .',
]


@dataclasses.dataclass
class _Study:
  report: str
  findings: list | None = None

  @property
  def reference(self):
    return self.report


def _scorer(bootstrap=10, times=1):
  studies = [_Study(text) for text in TEXTS * times]
  return SplitScorer(studies, findings_reader('rules'), bootstrap)


def test_the_references_themselves_are_perfect():
  scores = _scorer()(TEXTS)
  assert scores['bleu_4'] == pytest.approx(1)
  assert scores['findings']['micro_f1'] == 1
  assert scores['findings']['side_accuracy'] == 1
  assert scores['distinct_reports'] == scores['studies'] == 4
  assert scores['bleu_2_rexrank'] == pytest.approx(1)
  assert scores['intervals']['bleu_4'] == pytest.approx([1, 1])


def test_variety_is_counted():
  scorer = _scorer(bootstrap=0)
  scores = scorer([TEXTS[2], TEXTS[2], TEXTS[3], TEXTS[2]])
  assert scores['distinct_reports'] == 2
  assert scores['commonest_share'] == 3 / 4
  assert scores['abnormal_share'] == 1 / 4
  assert scorer.reference_shares == {
    'reference_abnormal_share': 3 / 4,
    'reference_abnormal_share_iu': 3 / 4,
  }


def test_findings_are_scored_by_both_label_sets():
  spine = 'the lungs are clear . degenerative changes of the thoracic spine .'
  texts = [*TEXTS, spine]
  scorer = SplitScorer(
    [_Study(text) for text in texts], findings_reader('rules'), bootstrap=20
  )
  assert scorer.reference_shares == {
    'reference_abnormal_share': 3 / 5,
    'reference_abnormal_share_iu': 4 / 5,
  }
  scores = scorer([*TEXTS[:2], spine, TEXTS[3], TEXTS[2]])
  chexpert, iu = scores['findings'], scores['findings_iu']
  assert chexpert.keys() - {'intervals_withheld'} <= iu.keys()
  assert chexpert['micro_f1'] == 1 and iu['micro_f1'] == 3 / 4
  assert iu['source'] == 'rules' and iu['abnormal_share'] == 4 / 5
  assert iu['per_class']['Degenerative Spine']['support'] == 1
  assert 'Degenerative Spine' not in chexpert['per_class']


def test_a_system_is_tested_against_another():
  scorer = _scorer(bootstrap=50, times=5)
  tests = scorer.paired(TEXTS * 5, [TEXTS[2]] * 20)
  for name in ('bleu_4', 'cider', 'micro_f1', 'micro_f1_iu'):
    low, high = tests[name]['interval']
    assert 0 < low <= tests[name]['difference'] <= high
    assert tests[name]['p_value'] < 0.01
  assert tests['micro_f1']['difference'] == 1
  same = scorer.paired(TEXTS * 5, TEXTS * 5)
  assert same['micro_f1_iu'] == {
    'difference': 0.0,
    'p_value': 1.0,
    'interval': [0.0, 0.0],
  }
  plain = _scorer(bootstrap=0).paired(TEXTS, TEXTS)
  assert 'interval' not in plain['cider']


def test_intervals_stand_where_they_were_computed_only():
  reports = [*TEXTS[1:], TEXTS[0]] * 2 + TEXTS * 3
  scores = _scorer(bootstrap=200, times=5)(reports)
  names = check_intervals(scores)
  words = {'rouge_l', 'cider', 'meteor_nltk', 'bleu_2_rexrank', 'bleu_4'}
  assert words | {'findings.micro_f1'} <= {*names}
  # Five studies have each finding.
  assert not [name for name in names if 'per_class' in name]
  assert 'Cardiomegaly (5)' in scores['findings']['intervals_withheld']
  scorer = _scorer(bootstrap=0, times=5)
  for other in (scorer(reports), scorer.shuffled(reports, 0)):
    assert 'intervals' not in other and not [*intervals_of(other)]


def test_a_single_study_is_not_shuffled():
  study = _Study(TEXTS[0])
  scorer = SplitScorer([study], findings_reader('rules'), bootstrap=10)
  assert scorer(TEXTS[:1])['findings']['micro_f1'] == 1
  assert scorer.shuffled(TEXTS[:1], seed=0) is None


def test_a_text_is_read_once(monkeypatch):
  reader = findings_reader('rules')
  read = []
  of_text = type(reader).labels_of_text
  monkeypatch.setattr(
    type(reader),
    'labels_of_text',
    lambda self, text: read.append(text) or of_text(self, text),
  )
  scorer = SplitScorer([_Study(text) for text in TEXTS] * 5, reader, 0)
  read.clear()
  scorer(TEXTS * 5)
  scorer.shuffled(TEXTS * 5, seed=0)
  # By each of two label sets.
  assert sorted(read) == sorted(TEXTS * 2)


def test_shuffled_they_find_nothing():
  # Each study's finding is its own, so every shuffle is wrong everywhere.
  shuffled = _scorer().shuffled(TEXTS, seed=0)
  assert shuffled['findings']['micro_f1'] == 0
  assert shuffled['bleu_4'] < 0.5
  assert (shuffled['studies'], shuffled['shuffles']) == (4, 3)


def test_a_constant_report_shuffled_stays_what_it_is():
  scorer = _scorer()
  constant = [TEXTS[2]] * 4
  want = scorer(constant)
  got = scorer.shuffled(constant, seed=0)
  assert got['bleu_1'] == pytest.approx(want['bleu_1'])
  assert got['findings']['micro_f1'] == want['findings']['micro_f1']


def test_phantom_findings_are_what_was_drawn():
  drawn = {'name': 'nodule', 'side': 'left', 'zone': 'lower', 'severity': ''}
  reader = findings_reader('phantom')
  study = _Study(TEXTS[0], [drawn])
  assert reader.labels_of_study(study) == {'nodule'}
  assert reader.labels_of_text(TEXTS[0]) == {'cardiomegaly'}


def test_retrieval_takes_the_study_that_looks_alike():
  rng = np.random.default_rng(0)
  films = rng.integers(0, 255, (3, 2, 64, 64)).astype(np.uint8)
  batch = {
    'images_BxIxHxW': films,
    'mask_B': np.array([True, True, False]),
    'study_B': np.array([1, 0, -1]),
  }
  small = thumbnails([batch], studies=2)
  assert small.shape == (2, 2, 32, 32)
  np.testing.assert_allclose(
    small[1, 0, 0, 0], films[0, 0, :2, :2].mean(), rtol=1e-6
  )
  train = [_Study(TEXTS[0]), _Study(TEXTS[1])]
  queries = [_Study(''), _Study('')]
  reports = trivial_reports(train, train, queries, [small, small[::-1]])
  assert reports['retrieval'] == [TEXTS[1], TEXTS[0]]
  assert len(set(reports['constant'])) == 1
