"""RadEval's scores: what it is given, what is printed, what is left out."""

import csv
import io
import statistics
import sys
import types

import pytest

from cmn_jax import tables
from cmn_jax.comparison import others
from cmn_jax.scores.metrics import TextCounts
from tests.made.run_scores import (
  STUDIES,
  clean,
  report_predictions,
  report_results,
  write_workdir,
)


class _RadEval:
  """In its place: counts words, and has weights for but one neural score."""

  def __init__(self, metrics, show_progress):
    (self.metric,) = metrics
    print('loading')
    if self.metric not in ('bleu', 'radgraph'):
      raise OSError('no weights here\nand more of it')

  def __call__(self, refs, hyps):
    if self.metric == 'bleu':
      assert refs[0] == clean(STUDIES[0].report)
      assert all(text == text.lower() for text in hyps)
    else:
      assert refs[0] == STUDIES[0].report
      assert all(text[0].isupper() or text == '.' for text in hyps)
    words = statistics.fmean(len(text.split()) for text in hyps)
    return {f'{self.metric}_words': words, 'labels': {'no': 'number'}}


@pytest.fixture
def runs(tmp_path, monkeypatch):
  monkeypatch.setattr(others, 'meteor_java', lambda *_: None)
  for seed in 1, 2:
    # The second seed leaves a report empty.
    rows = report_predictions()
    if seed == 2:
      rows[0] = rows[0] | {'prediction': ''}
    write_workdir(tmp_path / f's{seed}', report_results(seed=seed), rows)
  monkeypatch.setenv('HF_HUB_OFFLINE', '1')
  module = types.SimpleNamespace(RadEval=_RadEval)
  monkeypatch.setitem(sys.modules, 'radeval', module)
  return [tmp_path / 's1', tmp_path / 's2']


def _main(capsys, runs, *args):
  tables.main(['--format=csv', '--runs', *map(str, runs), *args])
  out, err = capsys.readouterr()
  lines = csv.DictReader(io.StringIO(out))
  return [line for line in lines if 'RadEval' in line['table']], err


def test_words_and_prose_of_each_row_and_what_was_left_out(runs, capsys):
  lines, err = _main(capsys, runs, '--radeval')
  assert {line['column'] for line in lines} == {'bleu_words', 'radgraph_words'}
  texts = [row['prediction'] for row in report_predictions()]
  words = [
    statistics.fmean(len(text.split()) for text in seed)
    for seed in (texts, ['.', *texts[1:]])
  ]
  found = {(line['row'], line['column']): line['value'] for line in lines}
  assert float(found['cmn, 2 seeds', 'bleu_words']) == pytest.approx(
    statistics.fmean(words)
  )
  # In prose a full stop is no word of its own.
  assert float(found['constant report', 'bleu_words']) == 4
  assert float(found['constant report', 'radgraph_words']) == 3
  assert "RadEval's bertscore was left out (OSError: no weights here)" in err
  assert 'HF_HUB_OFFLINE=0' in err
  assert 'and more' not in err
  assert 'loading' in err  # Its own words are in no table.


def test_named_metrics_alone(runs, capsys):
  lines, err = _main(capsys, runs, '--radeval', 'bleu')
  assert lines
  assert {line['column'] for line in lines} == {'bleu_words'}
  assert 'left out' not in err


def test_without_any_weights_there_is_no_table(runs, capsys):
  lines, err = _main(capsys, runs, '--radeval', 'bertscore')
  assert not lines
  assert 'left out' in err


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    (lambda m, _: m.setitem(sys.modules, 'radeval', None), "'.[radeval]'"),
    (lambda _, a: a.append('blue'), '--radeval blue: expected some of bleu, '),
    (
      lambda _, a: a.__setitem__(0, f'{a[0]}/evaluation/test.json'),
      'name in --runs the workdir',
    ),
  ],
)
def test_refused(runs, capsys, monkeypatch, change, message):
  args = [str(runs[0]), '--radeval']
  change(monkeypatch, args)
  with pytest.raises(SystemExit) as error:
    tables.main(['--runs', *args])
  assert message in str(error.value)
  assert not capsys.readouterr().out


@pytest.mark.outside
def test_its_bleu_of_words_is_ours():
  bleu = pytest.importorskip('radeval.metrics.bleu.bleu')
  rows = report_predictions()
  references = [row['reference'] for row in rows]
  predictions = [row['prediction'] for row in rows]
  ours = TextCounts.of(references, predictions).values()
  for n in 1, 2, 3, 4:
    theirs, _ = bleu.Bleu(n=n)(references, predictions)
    assert theirs == pytest.approx(ours[f'bleu_{n}'], abs=1e-6)
