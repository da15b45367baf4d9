"""Predictions of other programs: matched by study, or refused whole."""

import csv
import json

import pytest

from cmn_jax import tables
from cmn_jax.comparison import others
from cmn_jax.comparison.runs import read_saved
from cmn_jax.scores.metrics import TextCounts
from input_pipeline.tokenizers import clean_mimic_cxr
from tests.made.run_scores import (
  NORMAL,
  REFERENCES,
  STUDIES,
  report_predictions,
  report_results,
  rows_of,
  write_workdir,
)

# What others hand in is prose; of every fifth study it is right.
TEXTS = [s.report if n % 5 == 0 else NORMAL for n, s in enumerate(STUDIES)]
BY_ID = {
  study.id: {'report': 'theirs', 'model_prediction': text}
  for study, text in zip(STUDIES, TEXTS, strict=True)
}
PAIRS = [
  (study.report, text) for study, text in zip(STUDIES, TEXTS, strict=True)
]


def _rexrank(path):
  # The order is the file's own.
  path.write_text(json.dumps(dict(reversed(BY_ID.items()))))


def _radeval_json(path):
  references, hypotheses = zip(*PAIRS, strict=True)
  path.write_text(
    json.dumps({'references': references, 'hypotheses': hypotheses})
  )


def _radeval_jsonl(path):
  rows = [json.dumps({'ref': ref, 'hyp': hyp}) for ref, hyp in PAIRS]
  path.write_text('\n'.join(rows) + '\n')


def _radeval_csv(path):
  with path.open('w', newline='') as file:
    csv.writer(file).writerows([('reference', 'hypothesis'), *PAIRS])


def _own(path):
  rows = [
    {'id': study.id, 'prediction': ' '.join(clean_mimic_cxr(text).split())}
    for study, text in zip(STUDIES, TEXTS, strict=True)
  ]
  path.write_text(json.dumps(rows[::-1]))


@pytest.fixture
def runs(tmp_path, monkeypatch):
  # METEOR 1.5 needs a minute of Java.
  monkeypatch.setattr(others, 'meteor_java', lambda *_: None)
  write_workdir(tmp_path / 'run', report_results(), report_predictions())
  other = report_results(dataset='other')
  rows = [row | {'id': f'x{row["id"]}'} for row in report_predictions()]
  return [tmp_path / 'run', write_workdir(tmp_path / 'x', other, rows)]


def _main(capsys, runs, file):
  args = ['--runs', *map(str, runs), '--predictions', f'MoERad={file}']
  tables.main(args)
  return capsys.readouterr().out


@pytest.mark.parametrize(
  'name, write',
  [
    ('a.json', _rexrank),
    ('b.json', _radeval_json),
    ('c.jsonl', _radeval_jsonl),
    ('d.csv', _radeval_csv),
    ('e.json', _own),
  ],
)
def test_they_are_scored_as_ours_and_marked(
  tmp_path, capsys, runs, name, write
):
  write(tmp_path / name)
  out = _main(capsys, runs, tmp_path / name)
  rows = rows_of(out, 'toy')
  theirs = rows['*MoERad (not ours)*']
  # The nearest study of this run writes the same words.
  ours = rows['nearest study']
  assert theirs | {'': ''} == ours | {'': ''}
  assert 'not ours' not in str(rows_of(out, 'other'))


def test_they_are_cut_and_rare_words_replaced_as_in_references(tmp_path, runs):
  rows = json.loads((runs[0] / 'evaluation/test_predictions.json').read_text())
  said = {row['id']: {'model_prediction': row['report']} for row in rows}
  references = REFERENCES | {'reference_length': 6}
  for row in rows:
    words = clean_mimic_cxr(row['report']).replace('heart', '<unk>').split()
    row['reference'] = ' '.join(words[:5])
  results = report_results(references=references)
  path = write_workdir(tmp_path / 'cut', results, rows)
  file = tmp_path / 'theirs.json'
  file.write_text(json.dumps(said))
  matched = others.match_predictions('theirs', file, read_saved(path).runs)
  assert matched.words == [row['reference'] for row in rows]


def test_they_are_saved_beside_the_runs(tmp_path, capsys, runs):
  _rexrank(tmp_path / 'a.json')
  file = tmp_path / 'saved.json'
  args = ['--runs', str(runs[0]), '--predictions', f'A={tmp_path / "a.json"}']
  tables.main([*args, '--save', str(file)])
  printed = capsys.readouterr().out
  tables.main(['--runs', str(file)])
  again = capsys.readouterr().out
  row = '*A (not ours)*'
  assert rows_of(again, 'toy')[row] == rows_of(printed, 'toy')[row]
  broken = json.loads(file.read_text())
  del broken['others'][0]['dataset']
  file.write_text(json.dumps(broken))
  with pytest.raises(SystemExit, match='of others without all'):
    tables.main(['--runs', str(file)])


def test_a_runs_own_predictions_have_its_scores(runs):
  """Also those whose last sentence was cut, to which no full stop is added."""
  file = runs[0] / 'evaluation' / 'test_predictions.json'
  rows = json.loads(file.read_text())
  rows[0]['prediction'] = rows[0]['prediction'].removesuffix(' .')
  file.write_text(json.dumps(rows))
  found = others.scores_of(
    others.match_predictions('x', file, read_saved(runs[0]).runs)
  )
  words = [row['prediction'] for row in rows]
  references = [row['reference'] for row in rows]
  expected = TextCounts.of(references, words).values()['bleu_4']
  assert found['bleu_4'] == pytest.approx(expected, abs=1e-9)


def _changed(**changes):
  return json.dumps(BY_ID | changes)


STRANGER = {'model_prediction': 'Clear.'}


@pytest.mark.parametrize(
  'name, content, says',
  [
    ('p.json', json.dumps(dict(list(BY_ID.items())[2:])),
     r'2 missing \(study 0, study 1\); expected exactly'),
    ('p.json', _changed(a=STRANGER), r'1 surplus \(a\); expected exactly'),
    ('p.json', '{"a": {"model_prediction": "x"}}',
     r'50 missing \(study 0, study 1, study 2, \.\.\.\) and 1 surplus'),
    ('p.json', '{"a": 1, "a": 2}', "'a' is there twice"),
    ('p.json', _changed(**{'study 7': {'model_prediction': ' '}}),
     'an empty prediction for study 7'),
    ('p.json', _changed(**{'study 7': {'model_prediction': None}}),
     'an empty prediction for study 7'),
    ('p.json', '{"references": ["a"], "hypotheses": []}',
     '1 references and 0 hypotheses'),
    ('p.json', '[]', 'holds no predictions: expected'),
    ('p.json', '[{"id": "a", "prediction": ""}]', 'an empty prediction for a'),
    ('p.json', json.dumps([{'id': 'study 0', 'prediction': 'x'}] * 2),
     r'49 missing .* and 1 doubled \(study 0\); expected exactly'),
    ('p.json', '[{"id": ["a"], "prediction": "b"}]', 'holds no predictions'),
    ('p.json', '{"a": "text"}', 'holds no predictions'),
    ('p.json', '{', 'holds no predictions'),
    ('p.jsonl', '{"ref": "a", "hyp": "b"}\n', 'has 1 rows, .* has 50 studies'),
    ('p.jsonl', '{"ref": "a"}\n', 'holds no predictions'),
    ('p.jsonl', '{"ref": "a", "hyp": "b"}\n' * 50,
     "the reference of row 1 is not that of study 'study 0'"),
    ('p.json', '[' * 5_000, 'holds no predictions'),
    ('p.jsonl', '[' * 5_000, 'holds no predictions'),
    ('p.csv', 'reference,hypothesis\n' + 'a' * 200_000, 'no predictions'),
    ('p.csv', 'reference,hypothesis\na\n', 'an empty prediction for row 1'),
  ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_whole(
  tmp_path, capsys, runs, name, content, says
):
  (tmp_path / name).write_text(content)
  with pytest.raises(SystemExit, match=says) as error:
    _main(capsys, runs, tmp_path / name)
  assert str(error.value.code).startswith('error: ')
  assert not capsys.readouterr().out


def test_a_file_that_is_not_there(tmp_path, capsys, runs):
  with pytest.raises(SystemExit) as error:
    _main(capsys, runs, tmp_path / 'none.json')
  assert str(error.value.code) == (
    f'error: {tmp_path}/none.json cannot be read: No such file or directory'
  )


def test_runs_that_lend_no_references_are_refused(tmp_path, capsys, runs):
  _rexrank(tmp_path / 'p.json')
  with pytest.raises(SystemExit, match='needs the references of a run'):
    file = runs[0] / 'evaluation' / 'test.json'
    _main(capsys, [file], tmp_path / 'p.json')
  results = report_results(right=2)
  results['findings']['source'] = 'phantom'
  drawn = write_workdir(tmp_path / 'drawn', results, report_predictions())
  with pytest.raises(SystemExit, match='is of drawn images'):
    _main(capsys, [drawn], tmp_path / 'p.json')
  rows = report_predictions()
  rows[3]['reference_findings'] = ['Fracture']
  old = write_workdir(tmp_path / 'old', report_results(), rows)
  with pytest.raises(SystemExit, match='evaluated by another version'):
    _main(capsys, [old], tmp_path / 'p.json')
  with pytest.raises(SystemExit):
    tables.main(['--runs', str(runs[0]), '--predictions', 'file'])
  assert "'file' is not NAME=FILE" in capsys.readouterr().err
