"""What evaluation/test.json holds for its readers, and that it is whole.

One policy for every reader: all of it is there, or it is refused by name. A
value may be null, where nothing was computed; an interval is then absent.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NotRequired, TypedDict, get_args, get_type_hints

from input_pipeline.errors import UserError

Interval = list[float]  # [low, high], 95 %


class Checkpoint(TypedDict):
  """Which one was evaluated."""

  step: int
  epoch: int


class ClassScores(TypedDict):
  """Of one class; areas need probabilities."""

  precision: float
  recall: float
  f1: float
  support: int
  auroc: NotRequired[float | None]
  auprc: NotRequired[float | None]
  f1_interval: NotRequired[Interval]


class _Averages(TypedDict):
  """Of findings."""

  micro_f1: float | None
  macro_f1: float | None
  micro_f1_interval: NotRequired[Interval]
  macro_f1_interval: NotRequired[Interval]


class FindingScores(_Averages):
  """How well the findings of reports agree; counts: pairs per attribute."""

  side_accuracy: float | None
  zone_accuracy: float | None
  counts: dict[str, int]


class OtherFindings(_Averages):
  """By the label set `iu`, where findings are read in texts."""

  abnormal_share: NotRequired[float]


class ModelFindings(FindingScores):
  """A model's, with its classes."""

  source: str
  per_class: dict[str, ClassScores]
  intervals_withheld: NotRequired[str]


class TextScores(TypedDict):
  """Of one system's reports; the keys are those of the catalogue."""

  bleu_1: float
  bleu_2: float
  bleu_3: float
  bleu_4: float
  bleu_2_rexrank: float | None
  meteor: NotRequired[float | None]
  meteor_nltk: float
  rouge_l: float
  cider: float
  distinct_reports: int
  commonest_share: float | None
  abnormal_share: float | None
  findings: FindingScores
  findings_iu: NotRequired[OtherFindings]


class References(TypedDict):
  """What reports are compared with: fields of the config's section `data`."""

  sections: str
  clean: str
  min_count: int
  reference_length: int


class Retrieval(TypedDict):
  """Reports by images and images by reports, and chance."""

  projection: str
  image_to_report: dict[str, float]
  report_to_image: dict[str, float]
  chance: dict[str, float]
  studies: int
  distinct_reports: int


class Results(TypedDict):
  """What every task writes."""

  task: str
  name: str
  named_config: str
  config: dict[str, Any]
  checkpoint: Checkpoint
  seed: int
  dataset: str
  split: str
  split_source: str
  split_digest: str
  split_official: bool
  selected_on: str
  studies: int


class ReportResults(Results, TextScores):
  """A report model's."""

  references: References
  reference_abnormal_share: float | None
  reference_abnormal_share_iu: NotRequired[float]
  findings: ModelFindings
  intervals: NotRequired[dict[str, Interval]]
  baselines: dict[str, TextScores]
  # The model less a baseline, {baseline: {score: difference, p, interval}}.
  paired: NotRequired[dict[str, Any]]
  controls: dict[str, TextScores]
  retrieval: NotRequired[Retrieval]


class Labels(TypedDict):
  """Of a classifier; rare: in fewer than `rare_below` of training studies.

  digest: of what the split's studies have; absent where an older version wrote
  it.
  """

  source: str
  digest: NotRequired[str]
  classes: list[str]
  rare: list[str]
  rare_below: float


class ClassAverages(TypedDict):
  """Of one system's decisions."""

  precision_weighted: float | None
  precision_weighted_undefined_1: float | None
  recall_weighted: float | None
  f1_weighted: float | None
  micro_f1: float | None
  f1_macro: float | None
  accuracy: float | None
  auroc_macro: NotRequired[float | None]
  auprc_macro: NotRequired[float | None]
  f1_macro_rare: NotRequired[float | None]
  auroc_macro_rare: NotRequired[float | None]
  auprc_macro_rare: NotRequired[float | None]


class ClassifierResults(Results, ClassAverages):
  """A classifier's."""

  inputs: str
  finetuned: bool
  # What it stands on: name, seed and dataset; absent where there is none.
  report_model: NotRequired[dict[str, Any]]
  labels: Labels
  unlabelled: int
  per_class: dict[str, ClassScores]
  intervals: NotRequired[dict[str, Interval]]
  intervals_withheld: NotRequired[str]
  confusion_matrix: NotRequired[list[list[int]]]
  baselines: dict[str, ClassAverages]


def is_classifier(results: Mapping) -> bool:
  """Whether a test.json is a classifier's."""
  return results['task'] in ('classify', 'diagnose')


def dependence_note(dataset: str) -> str:
  """Why intervals and p of a data set are too sure; '' where they are not."""
  if not dataset.startswith('mimic_cxr'):
    return ''
  return (
    'Intervals and p take studies as independent: where patients have several, '
    'both are too sure.'
  )


def check_whole(content: Mapping, name: str) -> None:
  """Refuses a test.json that lacks what its readers need.

  Args:
    content: of the file.
    name: of the file, for the message.

  Raises:
    UserError: keys are missing; they are named.
  """
  missing = list(_missing(content, Results)) or list(
    _missing(content, _kind(content))
  )
  if missing:
    raise UserError(
      f'{name} lacks {", ".join(missing)}, as an older version wrote it: run '
      'main.py again with --mode=evaluate and the same --workdir'
    )


def without_extras(content: Mapping) -> dict:
  """A whole test.json without what neither tables nor these types name."""
  return _pruned(content, _kind(content))


def _kind(content: Mapping) -> type:
  return ClassifierResults if is_classifier(content) else ReportResults


def _missing(content: Any, kind: Any, path: str = '') -> Iterator[str]:
  """Dotted keys that a TypedDict requires, its inner ones included."""
  if _values_of(kind):
    for key, value in content.items():
      yield from _missing(value, _values_of(kind), f'{path}{key}.')
  for key, inner in _fields(kind).items():
    if isinstance(content, Mapping) and key in content:
      yield from _missing(content[key], inner, f'{path}{key}.')
    elif key in kind.__required_keys__:
      yield path + key


def _pruned(content: Any, kind: Any) -> Any:
  if _values_of(kind):
    return {k: _pruned(v, _values_of(kind)) for k, v in content.items()}
  if not _fields(kind):
    return content
  return {
    key: _pruned(content[key], inner)
    for key, inner in _fields(kind).items()
    if key in content
  }


def _fields(kind: Any) -> dict[str, Any]:
  """The fields of a TypedDict, {} of anything else."""
  if not hasattr(kind, '__required_keys__'):
    return {}
  return get_type_hints(kind)


def _values_of(kind: Any) -> type | None:
  """The TypedDict that the values of a dict are, if they are one."""
  values = get_args(kind)[1:]
  named = [value for value in values if hasattr(value, '__required_keys__')]
  return named[0] if named else None
