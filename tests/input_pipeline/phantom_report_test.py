"""The reports of the phantom: true, readable by rules, and repetitive."""

import collections

import numpy as np
import pytest

from input_pipeline.findings import Finding, read_findings
from input_pipeline.phantom.report import MAX_TOKENS, write_report
from input_pipeline.phantom.sampling import sample_findings
from input_pipeline.tokenizers import WordTokenizer


@pytest.fixture(scope='module')
def studies():
  """(findings, report) of 3,000 studies."""
  pairs = []
  for index in range(3000):
    rng = np.random.default_rng([8, index])
    findings = sample_findings(rng)
    pairs.append((findings, write_report(findings, rng)))
  return pairs


def test_rules_read_exactly_what_was_drawn(studies):
  for findings, report in studies:
    read = [f for f in read_findings(report) if f.status != 'negative']
    assert set(read) == set(findings), report
    assert len(read) == len(findings), report


def test_no_report_contradicts_itself(studies):
  for findings, report in studies:
    denied = {f.name for f in read_findings(report) if f.status == 'negative'}
    assert not denied & {finding.name for finding in findings}, report


def test_reports_are_20_to_58_tokens_long(studies):
  tokenizer = WordTokenizer.fit([report for _, report in studies])
  lengths = [
    len(tokenizer.encode(report, max_length=1000)) - 2 for _, report in studies
  ]
  assert min(lengths) >= 20
  assert max(lengths) <= MAX_TOKENS
  assert 30 < np.mean(lengths) < 50


def test_every_word_is_frequent_enough_to_be_learnt(studies):
  counts = collections.Counter(
    word for _, report in studies for word in report.lower().split()
  )
  assert min(counts.values()) >= 5
  assert len(counts) < 250


def test_normal_reports_repeat_each_other(studies):
  normal = collections.Counter(
    report for findings, report in studies if not findings
  )
  assert normal.most_common(1)[0][1] > 0.15 * sum(normal.values())


def test_sentences_keep_their_order():
  findings = [
    Finding('sternotomy'),
    Finding('scoliosis', side='left'),
    Finding('nodule', side='right', zone='mid'),
    Finding('cardiomegaly', severity='mild'),
  ]
  for seed in range(20):
    report = write_report(findings, np.random.default_rng(seed)).lower()
    places = [
      min(report.find(word) for word in words if word in report)
      for words in (
        ('enlarged', 'cardiomegaly'),
        ('nodule',),
        ('pneumothorax',),
        ('scoliosis',),
        ('sternotomy',),
      )
    ]
    assert places == sorted(places)


def test_the_same_seed_gives_the_same_words():
  assert write_report([], np.random.default_rng(4)) == (
    'The cardiac silhouette is normal. '
    'The mediastinal silhouette is within normal limits. '
    'Pulmonary vascularity is normal. '
    'No focal airspace opacity is seen. '
    'No pneumothorax or effusion is identified. '
    'The osseous structures are unremarkable.'
  )
  findings = [
    Finding('effusion', side='bilateral', severity='severe'),
    Finding('catheter', side='right'),
  ]
  assert write_report(findings, np.random.default_rng(4)) == (
    'The cardiac silhouette is normal. '
    'The mediastinal silhouette is within normal limits. '
    'Pulmonary vascularity is normal. '
    'No focal airspace opacity is seen. '
    'Large bilateral pleural effusions. '
    'No pneumothorax. '
    'The osseous structures are unremarkable. '
    'A right PICC line is present.'
  )
