"""The tables show what the results say, and mix up nothing."""

import csv
import io

import numpy as np
import pytest

from cmn_jax.comparison.comparison import tables_of
from cmn_jax.comparison.table import FORMATS, Cell, cell_of
from cmn_jax.scores.catalogue import Score
from input_pipeline.errors import UserError
from tests.made.run_scores import (
  CLASSES,
  OFFICIAL,
  REFERENCES,
  classifier_results,
  report_results,
  rows_of,
)


def printed(*runs):
  return FORMATS['markdown'](tables_of(runs))


def test_runs_stand_below_their_baselines():
  mine = report_results('mine', 3)
  text = printed(mine, report_results('cmn'), report_results('base', 2))
  rows = rows_of(text, 'toy')
  assert list(rows) == [
    'constant report',
    'nearest study',
    'the references',
    '**base, seed 1**',
    'base, seed 1, shuffled images',
    '**cmn, seed 1**',
    'cmn, seed 1, shuffled images',
    '**mine, seed 1**',
    'mine, seed 1, shuffled images',
  ]
  row = rows['**mine, seed 1**']
  assert row['BLEU-4'] == f'{mine["bleu_4"]:.3f}'
  assert row['BLEU-2 (ReXrank)'] == f'{mine["bleu_2_rexrank"]:.3f}'
  assert (row['distinct'], row['commonest'], row['abnormal']) == (
    '3', '60 %', '40 %',
  )  # fmt: skip
  assert rows['the references']['abnormal'] == '80 %'
  # No lesion of these has a zone, and METEOR was not run.
  assert not {'zone', 'METEOR'} & row.keys()
  assert '50 test studies, split own (not official, d1d1d1d1d1d1)' in text


def test_a_baseline_of_one_row_stands_with_it():
  runs = report_results(), report_results('base', 2)
  runs[0]['baselines']['template'] = runs[1]['baselines']['constant']
  runs[1]['baselines']['retrieval'] = runs[0]['controls']['shuffled_images']
  rows = list(rows_of(printed(*runs), 'toy'))
  assert rows[:2] == ['constant report', 'the references']
  assert rows[4:5] == ['base, seed 1, nearest study']
  assert rows[7:] == ['cmn, seed 1, nearest study', 'cmn, seed 1, template']


def test_seeds_become_mean_and_deviation():
  runs = [report_results(right=n, seed=n) for n in (2, 3, 5)]
  text = printed(*runs, report_results(dataset='other'))
  values = [run['bleu_4'] for run in runs]
  row = rows_of(text, 'toy')['**cmn, 3 seeds**']
  assert (
    row['BLEU-4'] == f'{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}'
  )
  assert '**cmn, seed 1**' in rows_of(text, 'other')


def test_rows_of_one_name_say_how_their_configs_differ():
  same = {'seed': 2, 'data.dir': '/elsewhere', 'eval.batch_size': 4}
  text = printed(
    report_results(seed=1),
    report_results(seed=2, config=same),
    report_results(config={'train.epochs': 24}),
  )
  rows = rows_of(text, 'toy')
  assert '**cmn (train.epochs as named), 2 seeds**' in rows
  assert '**cmn (train.epochs=24), seed 1**' in rows


def test_seeds_share_a_row_whatever_folders_their_parts_lie_in():
  runs = [
    report_results(
      name='ekagen_rn101',
      task='ekagen',
      seed=seed,
      config={'ekagen.knowledge': f'/runs/{seed}/knowledge', **more},
    )
    for seed, more in ((1, {}), (2, {}), (3, {'ekagen.teacher': '/runs/3/t'}))
  ]
  names = [row.name for row in tables_of(runs)[0].rows]
  assert 'ekagen_rn101 (ekagen.teacher as named), 2 seeds' in names
  assert 'ekagen_rn101 (ekagen.teacher=a run), seed 3' in names


def test_other_pretrained_encoders_are_other_rows():
  runs = [
    report_results(seed=seed, config={'model.pretrained': f'hf:a/{seed}'})
    for seed in (1, 2)
  ]
  names = [row.name for row in tables_of(runs)[0].rows]
  assert 'cmn (model.pretrained=hf:a/2), seed 2' in names


def test_the_same_run_twice_is_refused():
  with pytest.raises(UserError, match='2 runs of cmn, seed 1 on toy'):
    tables_of([report_results(), report_results(right=2)])


def test_runs_of_different_splits_never_share_a_table():
  text = printed(report_results(), report_results('b', split_digest='other'))
  assert '**cmn, seed 1**' in rows_of(text, 'toy (1 of 2)')
  assert '**b, seed 1**' in rows_of(text, 'toy (2 of 2)')


def test_runs_with_other_references_never_share_a_table():
  longer = REFERENCES | {'reference_length': 129}
  text = printed(report_results(), report_results('b', references=longer))
  assert '**b, seed 1**' in rows_of(text, 'toy (2 of 2)')


@pytest.mark.parametrize(
  'change', [{'digest': 'other'}, {'rare': list(CLASSES[:2])}]
)
def test_classifiers_of_other_labels_never_share_a_table(change):
  one, other = classifier_results(), classifier_results(seed=2)
  other['labels'] |= change
  text = printed(one, other)
  row = '**classifier, image, seed 2**'
  assert row in rows_of(text, 'toy: classification (2 of 2)')


def test_classifiers_of_other_report_models_are_other_rows():
  runs = [
    classifier_results(seed=seed, report_model={'name': name})
    for seed, name in ((1, 'cmn'), (2, 'base'))
  ]
  rows = rows_of(printed(*runs), 'toy: classification')
  assert '**classifier, image (report model=base), seed 2**' in rows


def test_several_studies_of_a_patient_are_told():
  said = 'where patients have several, both are too sure'
  assert said in printed(report_results(dataset='mimic_cxr'))
  assert said not in printed(report_results(dataset='iu_xray'))


def test_the_interval_names_its_run():
  runs = [report_results('mine', right=5), report_results('base', right=1)]
  # The papers' row stands first.
  note = tables_of(runs)[0].note
  low, high = runs[1]['findings']['micro_f1_interval']
  said = f'F1 micro of base, seed 1: {low:.3f} to {high:.3f}.'
  assert said in note


@pytest.mark.parametrize(
  'changes, stands',
  [
    ({}, True),
    ({'references': REFERENCES | {'reference_length': 129}}, False),
    ({'dataset': 'own films'}, False),
    ({'split_source': 'r2gen, 588 of 590', 'split_official': False}, False),
  ],
)
def test_published_rows_stand_beside_whole_official_parts_only(changes, stands):
  about = {**OFFICIAL, **changes}
  references = about.pop('references', REFERENCES)
  text = printed(report_results(references=references, **about))
  rows = rows_of(text, about['dataset'])
  assert ('*cmn (published)*' in rows) == ('0.4788' in text) == stands
  if references == REFERENCES:
    assert ('0.6216' in printed(classifier_results(**about))) == stands
  assert about['split_source'] in text


def test_published_rows_are_of_the_same_references():
  longer = REFERENCES | {'reference_length': 129}
  names = [
    set(rows_of(printed(report_results(references=r, **OFFICIAL)), 'iu_xray'))
    for r in (REFERENCES, longer)
  ]
  for name, place in (('cmn', 0), ('EKAGen (ResNet-101)', 1)):
    row = f'*{name} (published)*'
    assert row in names[place] and row not in names[1 - place]


def test_f1_stands_for_each_set_of_labels():
  iu = {'micro_f1': 0.25, 'macro_f1': 0.125}
  text = printed(report_results(findings_iu=iu))
  row = rows_of(text, 'toy')['**cmn, seed 1**']
  assert (row['F1 iu'], row['F1 macro iu']) == ('0.250', '0.125')


def test_references_state_findings_by_both_label_sets():
  results = report_results(reference_abnormal_share_iu=0.875)
  row = rows_of(printed(results), 'toy')['the references']
  assert (row['abnormal'], row['abnormal iu']) == ('80 %', '88 %')
  # Findings of drawn images are the program's own.
  for part in (results, *results['baselines'].values()):
    del part['findings_iu']
  del results['controls']['shuffled_images']['findings_iu']
  del results['reference_abnormal_share_iu']
  assert 'iu' not in printed(results)


def test_retrieval_has_chance_and_the_untrained_control():
  text = printed(report_results(), report_results('proposed'))
  rows = rows_of(text, 'toy: retrieval')
  assert list(rows) == [
    'chance',
    'cmn, seed 1, untrained projection',
    '**proposed, seed 1**',
  ]
  assert rows['**proposed, seed 1**']['report by images @1'] == '1.000'


def test_classifiers_have_their_own_table_by_inputs():
  runs = [
    classifier_results(noise=0.95, seed=1),
    classifier_results(noise=0.95, seed=2),
    classifier_results(inputs='image+generated', noise=0.95),
  ]
  rows = rows_of(printed(*runs), 'toy: classification')
  assert list(rows) == [
    'always No Finding',
    '**classifier, image, 2 seeds**',
    '**classifier, image+generated, seed 1**',
    'report by rules, image+generated',
  ]
  assert ' ± ' in rows['**classifier, image, 2 seeds**']['AUROC']
  assert rows['report by rules, image+generated']['F1'] == '1.000'


def test_rare_classes_have_a_table():
  run = classifier_results(noise=0.95)
  text = printed(run)
  assert 'one training study in 20 has: a <nodule> (2)' in text
  row = rows_of(text, 'toy: rare classes')['**classifier, image, seed 1**']
  # Two positives carry no interval.
  assert list(row)[1:] == ['F1 macro', 'F1 rare', 'AUROC rare', 'AUPRC rare']
  run['intervals']['f1_macro'] = [0.25, 0.75]
  row = rows_of(printed(run), 'toy: rare classes')[
    '**classifier, image, seed 1**'
  ]
  assert (row['F1 macro from'], row['F1 macro to']) == ('0.250', '0.750')
  run['labels']['rare'] = []
  assert 'rare' not in printed(run)


def test_cells():
  share, count = Score('a', 'a', 0, percent=True), Score('b', 'b', 0)
  assert cell_of([None, None], count).text() == '-'
  assert cell_of([0.25, None], share).text() == '25 %'
  assert cell_of([3, 5], count).text() == '4 ± 1'
  assert Cell(0.6216, digits=4).text() == '0.6216'


def test_csv_has_every_number_and_latex_is_balanced():
  run = report_results('a_b')
  made = tables_of([run])
  rows = list(csv.DictReader(io.StringIO(FORMATS['csv'](made))))
  found = {
    row['row']: float(row['value'])
    for row in rows
    if row['row'].startswith('a_b') and row['column'] == 'BLEU-4'
  }
  assert found == {
    'a_b, seed 1': run['bleu_4'],
    'a_b, seed 1, shuffled images': run['controls']['shuffled_images'][
      'bleu_4'
    ],
  }
  text = FORMATS['latex'](made)
  assert r'a\_b, seed 1' in text and text.count('{') == text.count('}')
  assert r'findings from \texttt{rules};' in text and '`' not in text
  assert not [line for line in text.splitlines() if ' %' in line]
  for name in ('table', 'tabular'):
    begun = text.count(rf'\begin{{{name}}}')
    assert begun == text.count(rf'\end{{{name}}}') == len(made)
