"""dataset.md: what a data set holds, in tables that a person reads."""

import collections
import statistics

from input_pipeline.datasets.splits import members_digest
from input_pipeline.datasets.study import SPLITS
from input_pipeline.findings import CHEXPERT_14, chexpert_labels
from input_pipeline.tokenizers import CLEANERS

_RULES = 'rules'


def write_card(dataset, clean, notes=()):
  """The Markdown text about a `study.Dataset`.

  Args:
    dataset: its studies are those that are counted.
    clean: how reports are cleaned before words are counted.
    notes: lines about how the films were prepared.
  """
  name = dataset.name
  parts = [
    f'# {name}\n\n{dataset.layout} layout in `{dataset.folder}`.',
    f'Licence. {dataset.licence}',
    *notes,
    _split_table(dataset),
    _length_table(dataset, clean),
    _label_table(dataset),
    _dropped_table(dataset),
  ]
  return '\n\n'.join(parts) + '\n'


def summary(dataset):
  """A few lines for the screen: what was found, dropped and kept."""
  found = ', '.join(f'{n:,} {what}' for what, n in dataset.found.items())
  lines = [f'{dataset.layout} layout in {dataset.folder}: {found}']
  lines += [
    f'  dropped {count:>8,}  {why}' for why, count in _dropped(dataset).items()
  ]
  if dataset.problems:
    lines.append(f'  bad     {len(dataset.problems):>8,}  studies:')
    lines += [f'    {problem}' for problem in dataset.problems[:10]]
    lines += ['    ...'] * (len(dataset.problems) > 10)
  counts = {split: len(dataset.studies[split]) for split in SPLITS}
  shares = ', '.join(f'{n:,} {split}' for split, n in counts.items())
  lines.append(
    f'  kept    {sum(counts.values()):>8,}  studies: {shares} '
    f'(split {dataset.split_name})'
  )
  views = collections.Counter(
    view or 'unknown' for s in _all(dataset) for view in _views(s)
  )
  shares = ', '.join(f'{n:,} {view}' for view, n in sorted(views.items()))
  lines.append(f'  films   {sum(views.values()):>8,}  by view: {shares}')
  return '\n'.join(lines)


def _all(dataset):
  return [study for split in SPLITS for study in dataset.studies[split]]


def _views(study):
  """Views of the films that there are."""
  pairs = zip(study.films, study.views, strict=True)
  return [view for film, view in pairs if film]


def _dropped(dataset):
  return {why: n for why, n in sorted(dataset.dropped.items()) if n}


def _table(header, rows):
  lines = [header, ['---'] + ['---:'] * (len(header) - 1), *rows]
  return '\n'.join(f'| {" | ".join(map(str, line))} |' for line in lines)


def _split_table(dataset):
  rows = []
  for split in SPLITS:
    studies = dataset.studies[split]
    views = collections.Counter(v for s in studies for v in _views(s))
    rows.append(
      [split, f'{len(studies):,}']
      + [f'{views[view]:,}' for view in ('frontal', 'lateral', None)]
    )
  members = [(study.id, study.split) for study in _all(dataset)]
  return (
    f'## Split: {dataset.split_name}\n\n'
    f'Members (digest of ids and splits): `{members_digest(members)}`. '
    f'Scores compare only between equal members.\n\n'
    + _table(
      ['split', 'studies', 'frontal films', 'lateral', 'view unknown'], rows
    )
  )


def _length_table(dataset, clean):
  texts = {
    split: [CLEANERS[clean](s.report) for s in dataset.studies[split]]
    for split in SPLITS
  }
  train = set(texts['train'])
  rows = []
  for split in SPLITS:
    lengths = sorted(len(text.split()) for text in texts[split])
    if not lengths:
      continue
    repeated = sum(text in train for text in texts[split])
    rows.append(
      [
        split,
        f'{statistics.fmean(lengths):.1f}',
        lengths[len(lengths) // 2],
        lengths[int(0.95 * (len(lengths) - 1))],
        lengths[-1],
        _percent(sum(n > 58 for n in lengths), len(lengths)),
        f'{len(set(texts[split])):,}',
        '' if split == 'train' else _percent(repeated, len(lengths)),
      ]
    )
  return (
    f'## Reports\n\nText: {dataset.sections}. Tokens are words and full stops '
    f"of the cleaning '{clean}'; a report of over 58 is cut at a max_length of "
    f'60.\n\n'
    + _table(
      [
        'split',
        'tokens, mean',
        'median',
        '95th percentile',
        'longest',
        'over 58',
        'distinct reports',
        'also in train',
      ],
      rows,
    )
  )


def _label_table(dataset):
  source, labels_of = _labels_of(dataset)
  counts = {split: collections.Counter() for split in SPLITS}
  unknown = dict.fromkeys(SPLITS, 0)
  for split in SPLITS:
    for study in dataset.studies[split]:
      positive = labels_of(study)
      unknown[split] += positive is None
      counts[split].update(positive or ())
  names = set().union(*counts.values())
  ordered = [n for n in CHEXPERT_14 if n in names]
  ordered += sorted(names - set(ordered))
  rows = [[name, *(f'{counts[s][name]:,}' for s in SPLITS)] for name in ordered]
  if any(unknown.values()):
    rows.append(['(not labelled)', *(f'{unknown[s]:,}' for s in SPLITS)])
  return (
    f'## Labels: {source}\n\nStudies in which each class is positive.\n\n'
    + _table(['class', *SPLITS], rows)
  )


def _labels_of(dataset):
  """The labels' source, and study -> names of its positive classes or None."""
  studies = _all(dataset)
  if any(study.findings is not None for study in studies):
    return (
      dataset.label_source,
      lambda study: (
        None
        if study.findings is None
        else {finding['name'] for finding in study.findings}
      ),
    )
  if any(study.labels is not None for study in studies):
    return dataset.label_source, lambda study: _positive(study.labels)
  return f'{_RULES} (read in the text)', lambda study: _positive(
    chexpert_labels(study.report)
  )


def _positive(labels):
  if labels is None:
    return None
  return {name for name, status in labels.items() if status == 'positive'}


def _dropped_table(dataset):
  rows = [[why, f'{n:,}'] for why, n in _dropped(dataset).items()]
  rows.append(['missing or unreadable films', f'{len(dataset.problems):,}'])
  text = '## Left out\n\n' + _table(['why', 'how many'], rows)
  if dataset.problems:
    listed = '\n'.join(f'- {problem}' for problem in dataset.problems[:100])
    text += f'\n\nThe first of them:\n\n{listed}'
  return text


def _percent(part, whole):
  return f'{100 * part / whole:.1f} %'
