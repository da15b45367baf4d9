"""The sections of a report model's page: scores, findings, studies."""

import html
from collections.abc import Mapping, Sequence

from cmn_jax.pages.page import (
  BEATS,
  BELOW,
  UNCLEAR,
  Section,
  compare,
  compare_note,
  in_words,
  number,
  score_table,
  withheld_note,
)
from cmn_jax.pages.sections import (
  CLASS_NOTE,
  Plot,
  class_table,
  curves_section,
  run_section,
)
from cmn_jax.pages.studies import Example, studies_section
from cmn_jax.scores.catalogue import (
  REPORT_SCORES,
  RETRIEVAL_SCORES,
  paired_sentences,
  row_name,
  value_of,
)
from cmn_jax.scores.results import ReportResults, check_whole

# What the first lines judge by.
_BASELINES = 'constant', 'retrieval'
_SCORES = {score.key: score for score in REPORT_SCORES}
_F1, _BLEU_4 = _SCORES['findings.micro_f1'], _SCORES['bleu_4']
_HEADLINE = {_F1: 'findings F1', _BLEU_4: 'BLEU-4'}
_COMMONEST, _ABNORMAL = _SCORES['commonest_share'], _SCORES['abnormal_share']
_VARIETY = ('distinct_reports', _COMMONEST.key, _ABNORMAL.key)

_OF_IU = "; iu: by classes of the Indiana collection, CheXpert's among them"
# What findings.source means.
_SOURCES = {
  'phantom': 'The findings of a study are those that were drawn, exactly; '
  'those of a generated report are read in its words.',
  'rules': 'Findings are read in both texts by rules of this project, not by '
  'CheXbert: scores of the two cannot be compared.',
}
_PROJECTIONS = {
  'trained': 'Images and reports were aligned in training.',
  'untrained': 'This model was trained without alignment: a random projection '
  'stands in for it, as a control.',
}


def report_sections(
  results: ReportResults,
  history: Sequence[Mapping],
  examples: Sequence[Example],
) -> list[Section]:
  """The page of a report model.

  Args:
    results: the content of evaluation/test.json.
    history: a row for each epoch: epoch, train_loss and, where the epoch was
      validated, val with loss, bleu_4 and micro_f1.
    examples: the studies to show.

  Raises:
    UserError: the results are not whole.
  """
  check_whole(results, 'test.json')
  plots = [
    Plot(
      'Loss per word',
      {'train': ('train_loss',), 'validation': ('val', 'loss')},
      from_zero=False,
    ),
    *(
      Plot(name, {'validation': ('val', score.name)}, from_zero=True)
      for score, name in ((_BLEU_4, 'BLEU-4'), (_F1, 'Findings F1'))
    ),
  ]
  speed = (
    f'written in {number(results["seconds"], 1)} s, '
    f'{number(results["reports_per_second"], 1)} reports per second'
  )
  scores = _scores(results)
  if 'retrieval' in results:
    scores += _retrieval(results['retrieval'])
  return [
    Section('', _headline(results)),
    Section('Scores', scores),
    curves_section(history, results, plots, 'The loss is in nats.'),
    Section('Findings', _findings(results)),
    Section('Studies', studies_section(examples)),
    run_section(results, speed),
  ]


def _headline(results: Mapping) -> str:
  """What the scores say against their baselines, in HTML paragraphs."""
  compared = {score: _against(results, score) for score in _HEADLINE}
  details = [_detail(results, score, compared[score]) for score in compared]
  details += [_against_shuffled(results), _variety(results)]
  return (
    f'<p class="lead">{_lead(compared)}</p>'
    f'<p>{" ".join(filter(None, details))}</p>'
    f'{compare_note(results["dataset"])}'
  )


def _against(results, score) -> dict[str, str]:
  """{baseline and its score: verdict}, of those that have the score."""
  verdicts = {}
  for key in _BASELINES:
    other = results['baselines'][key]
    if verdict := compare(results, other, score):
      value = score.text(value_of(other, score))
      verdicts[f'the {row_name(key)} ({value})'] = verdict
  return verdicts


def _lead(compared) -> str:
  """The verdict in one sentence."""
  won, lost, rest = [], [], []
  for score, name in _HEADLINE.items():
    found = set(compared[score].values())
    if found:
      group = lost if BELOW in found else won if found == {BEATS} else rest
      group.append(name)
  clauses = [
    f'{verb} {" and ".join(names)}'
    for verb, names in (
      ('beats its trivial baselines on', won),
      ('does not clearly beat its trivial baselines on', rest),
      ('is below a trivial baseline on', lost),
    )
    if names
  ]
  return f'The model {", but ".join(clauses)}.'


def _detail(results, score, verdicts) -> str:
  if not verdicts:
    return ''
  clauses = [
    f'{verb} {" and ".join(who for who, v in verdicts.items() if v == verb)}'
    for verb in (BEATS, UNCLEAR, BELOW)
    if verb in verdicts.values()
  ]
  name = _HEADLINE[score]
  mine = in_words(results, score)
  return f'{name[0].upper()}{name[1:]} of {mine} {", and ".join(clauses)}.'


def _against_shuffled(results) -> str:
  shuffled = results['controls'].get('shuffled_images', {})
  verdict = compare(results, shuffled, _F1)
  if verdict is None:
    return ''
  value = _F1.text(value_of(shuffled, _F1))
  if verdict == BEATS:
    return (
      f'With the images shuffled between studies its findings F1 falls to '
      f'{value}: what it writes depends on the images.'
    )
  return (
    f'With the images shuffled between studies its findings F1 is {value}, not '
    'clearly lower: these studies do not show that it looks at the images.'
  )


def _variety(results) -> str:
  distinct = results['distinct_reports']
  commonest, abnormal = (
    score.text(value_of(results, score)) for score in (_COMMONEST, _ABNORMAL)
  )
  return (
    f'It wrote {distinct} distinct report{"s" if distinct != 1 else ""} for '
    f'{results["studies"]} studies, the commonest for {commonest} of them; '
    f'{abnormal} of its reports state a finding, of the references '
    f'{_ABNORMAL.text(results["reference_abnormal_share"])}.'
  )


def _scores(results: Mapping) -> str:
  """The table of all scores: the model, its baselines, its control."""
  baselines = results['baselines']
  references = {
    'abnormal_share': results['reference_abnormal_share'],
    'findings_iu': {
      'abnormal_share': results.get('reference_abnormal_share_iu')
    },
  }
  rows = [
    ('This model', results, 'model'),
    *(
      (row_name(key).capitalize(), row, 'baselines')
      for key, row in baselines.items()
    ),
    *(
      (f'This model, {row_name(key)}', row, 'controls')
      for key, row in results['controls'].items()
    ),
    ('The references', references, 'controls'),
  ]
  # Right side, zone and severity stand with the findings.
  scores = [
    score
    for score in REPORT_SCORES
    if not score.key.endswith('_accuracy')
    and ('.' not in score.key or score.key.partition('.')[0] in results)
  ]
  found = [s for s in scores if '.' in s.key or s.key in _VARIETY]
  words = [score for score in scores if score not in found]
  return (
    score_table('Scores', found, rows)
    + score_table('Scores', words, rows[:-1])
    + '<p class="note">Small type: 95 % bootstrap interval over studies. '
    f'{withheld_note(results["findings"])}F1: findings in the reports, No '
    f'Finding left out{_OF_IU if "findings_iu" in results else ""}. Distinct: '
    'how many different reports were written; '
    'commonest: share of the one written most often; abnormal: share of the '
    'reports that state any finding. The constant report is one training '
    'report, chosen on validation, for every study; the nearest study is '
    'the one of training with the most similar images. METEOR is '
    'version 1.5, a dash where Java or its jar is missing.</p>'
    + _paired(results)
    + '<details><summary>The constant report</summary>'
    f'<p>{html.escape(baselines["constant"]["report"])}</p></details>'
  )


def _paired(results: Mapping) -> str:
  """Differences from baselines, each with its p."""
  sentences = paired_sentences(results)
  if not sentences:
    return ''
  return (
    f'<p class="note">This model {"; ".join(map(html.escape, sentences))}. p: '
    'two-sided, by approximate randomisation over studies.</p>'
  )


def _retrieval(retrieval: Mapping) -> str:
  """Recall of reports by images and of images by reports, beside chance."""
  chance = dict.fromkeys(
    ('image_to_report', 'report_to_image'), retrieval['chance']
  )
  rows = [
    ('This model', {'retrieval': retrieval}, 'model'),
    ('Chance', {'retrieval': chance}, 'baselines'),
  ]
  return (
    '<h3 id="retrieval">Retrieval</h3>'
    + score_table('Retrieval', RETRIEVAL_SCORES, rows)
    + '<p class="note">Recall at 1, 5 and 10 and median rank, among '
    f'{retrieval["studies"]} studies with {retrieval["distinct_reports"]} '
    'distinct reports; finding any study with the same report counts. '
    f'{_PROJECTIONS[retrieval["projection"]]}</p>'
  )


def _findings(results: Mapping) -> str:
  findings = results['findings']
  accuracies = ''.join(
    _accuracy(findings, name) for name in ('side', 'zone', 'severity')
  )
  columns = {'precision': 'precision', 'recall': 'recall', 'F1': 'f1'}
  rivals = [
    row['findings']['per_class'] for row in results['baselines'].values()
  ]
  return (
    f'<dl class="facts">{accuracies}</dl>'
    + class_table(
      'Findings', findings['per_class'], rivals, columns, results['studies']
    )
    + '<p class="note">Side, zone and severity: share that is right among the '
    f'findings that were found. {CLASS_NOTE} {withheld_note(findings)}'
    f'{_SOURCES[findings["source"]]} No Finding is in no average.</p>'
  )


def _accuracy(findings, name) -> str:
  count = findings['counts'][name]
  # Of no pair at all, an accuracy of 0 would say too much.
  value = number(findings[f'{name}_accuracy'] if count else None)
  return (
    f'<div><dt>{name.capitalize()} right</dt>'
    f'<dd>{value}<small>of {count} pairs</small></dd></div>'
  )
