"""Runs on disk: read whole or refused by name, and saved for the next time."""

import json

import pytest

from cmn_jax.comparison.runs import Run, read_saved, save
from input_pipeline.errors import UserError
from tests.made.run_scores import (
  classifier_results,
  report_predictions,
  report_results,
  write_workdir,
)


def test_workdirs_seeds_and_files(tmp_path):
  for seed in (1, 2):
    write_workdir(
      tmp_path / f'seed_{seed}', report_results(seed=seed), report_predictions()
    )
  runs = read_saved(tmp_path).runs
  assert [run.results['seed'] for run in runs] == [1, 2]
  assert len(runs[0].predictions) == 50
  file = tmp_path / 'seed_1' / 'evaluation' / 'test.json'
  assert read_saved(file).runs[0].predictions is None


def test_saved_scores_are_read_again_and_are_small(tmp_path):
  iu = {'micro_f1': 0.25, 'macro_f1': 0.5}
  more = iu | {'per_class': {'a': 1}}
  runs = [
    report_results(findings_iu=more),
    classifier_results(single=True),
  ]
  tests = [{'name': 'a'}]
  file = tmp_path / 'deep' / 'scores.json'
  save(file, [Run(tmp_path, run, None) for run in runs], tests)
  saved = read_saved(file)
  assert saved.paired_tests == tests
  for run, before in zip(saved.runs, runs, strict=True):
    assert run.results['config'] == before['config']
    assert run.results['per_class' if 'per_class' in before else 'findings']
    assert len(json.dumps(run.results)) < 0.5 * len(json.dumps(before))
  assert saved.runs[0].results['bleu_4'] == round(runs[0]['bleu_4'], 5)
  assert saved.runs[0].results['findings_iu'] == iu
  assert 'confusion_matrix' in saved.runs[1].results
  assert len(file.read_text().splitlines()) < 90
  with pytest.raises(UserError, match=r'scores\.json exists'):
    save(file, [], [])


def test_saved_scores_do_not_say_where_on_a_disk_a_run_lay(tmp_path):
  config = {'classifier.checkpoint': '/home/me/runs/cmn/seed_1', 'a': 'b/c'}
  run = Run(tmp_path, report_results(config=config), None)
  save(tmp_path / 'scores.json', [run], [])
  (saved,) = read_saved(tmp_path / 'scores.json').runs
  assert saved.results['config'] == {
    'classifier.checkpoint': 'cmn/seed_1',
    'a': 'b/c',
  }


@pytest.mark.parametrize('content', ['{', '{"a": 1}', '[1]', '3'])
def test_json_without_scores_is_refused_by_name(tmp_path, content):
  file = tmp_path / 'other.json'
  file.write_text(content)
  with pytest.raises(UserError, match=r'other\.json (holds no|cannot)'):
    read_saved(file)
  with pytest.raises(UserError, match='nothing cannot be read'):
    read_saved(tmp_path / 'nothing')


@pytest.mark.parametrize('key', ['name', 'controls', 'findings.micro_f1'])
def test_what_an_older_version_did_not_write_is_named(tmp_path, key):
  results = report_results()
  *above, last = key.split('.')
  del (results[above[0]] if above else results)[last]
  write_workdir(tmp_path / 'run', results)
  with pytest.raises(UserError, match=rf'test\.json lacks {key}, as an older'):
    read_saved(tmp_path / 'run')


def test_scores_of_validation_are_no_test_scores(tmp_path):
  file = tmp_path / 'val.json'
  file.write_text(json.dumps(report_results(split='val')))
  with pytest.raises(UserError, match=r'val\.json holds the scores of val'):
    read_saved(file)
