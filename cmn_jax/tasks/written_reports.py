"""What every task that writes reports has in common: how they are judged."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from clu import parameter_overview
from ml_collections import ConfigDict

from cmn_jax.pages.report import report_sections
from cmn_jax.scores import catalogue
from cmn_jax.scores.scoring import SplitScorer
from cmn_jax.tasks.report_results import page_examples, report_results
from cmn_jax.training.resuming import check_same_words
from input_pipeline.errors import UserError
from input_pipeline.findings import NO_FINDING
from input_pipeline.findings_reader import FindingsReader
from input_pipeline.terminal import folded


def names_of(stated_SxC: np.ndarray, classes: Sequence[str]) -> list[set[str]]:
  """The classes that are stated of each study."""
  return [
    {name for name, there in zip(classes, row, strict=True) if there}
    for row in np.asarray(stated_SxC)
  ]


class WrittenReports:
  """Scores, predictions and table of a task that writes reports.

  A subclass gives the texts of its rows, `texts(rows)`.

  Attributes:
    tokenizer: its words.
    encoder_start: what the visual encoder's weights were at the start.
  """

  selectable = catalogue.selectable(catalogue.REPORT_SCORES)
  shown = {'bleu_4': 'BLEU-4', 'micro_f1': 'findings F1'}
  unit = 'reports'

  def __init__(self, config: ConfigDict, data, reader: FindingsReader):
    self._config, self._data, self._reader = config, data, reader
    self._scorers = {}

  def sampling(self) -> np.ndarray | None:
    """So that train.abnormal_share is that of studies with any finding."""
    share = self._config.train.abnormal_share
    if not share:
      return None
    found = [
      bool(self._reader.labels_of_study(study) - {NO_FINDING})
      for study in self._data.studies['train']
    ]
    abnormal_S = np.array(found)
    if not 0 < share < 1 or abnormal_S.all() or not abnormal_S.any():
      raise UserError(
        f'train.abnormal_share is {share}, and {abnormal_S.sum()} of '
        f'{len(found)} training studies have a finding: it lies between 0 and '
        '1, with studies of both kinds; 0 draws each once an epoch'
      )
    shares_S = np.where(
      abnormal_S, share / abnormal_S.sum(), (1 - share) / (~abnormal_S).sum()
    )
    return shares_S / shares_S.sum()

  def texts(self, rows: Mapping) -> list[str]:
    """The report of each row, in the words that are scored."""
    raise NotImplementedError

  def found(self, split: str, rows: Mapping) -> list[set[str]] | None:
    """What a classifier of the images finds, by row; None without one.

    Validation is asked for before test: thresholds may be chosen on it.
    """
    del split, rows

  def features(
    self, split: str, rows: Mapping, variables: Mapping
  ) -> tuple[np.ndarray, np.ndarray] | None:
    """A frozen encoder's of training and split, (S, I, F); None without one."""
    del split, rows, variables

  def score(self, split: str, rows: dict, full: bool, variables: dict) -> dict:
    """Scores of the reports that were written; see `Task.score`."""
    texts = self.texts(rows)
    if full:
      return report_results(
        self._config,
        self._data,
        self._reader,
        split,
        texts,
        rows,
        self.found(split, rows),
        self.features(split, rows, variables),
      )
    if split not in self._scorers:
      self._scorers[split] = SplitScorer(
        self._data.studies[split], self._reader, bootstrap=0
      )
    scores = self._scorers[split](texts)
    return {
      **{k: v for k, v in scores.items() if isinstance(v, float)},
      'macro_f1': scores['findings']['macro_f1'] or 0.0,
      # Without a positive there is nothing to find.
      'micro_f1': scores['findings']['micro_f1'] or 0.0,
      'distinct_reports': scores['distinct_reports'],
    }

  def predictions(self, split: str, rows: dict) -> list[dict]:
    """Each study's report, as it stands in the data and as it was written."""
    readers = {'': self._reader}
    readers |= {f'_{one.label_set}': one for one in self._reader.others}
    return [
      {
        'id': study.id,
        'report': study.report,
        'sections': study.sections,
        'reference': study.reference,
        'prediction': text,
        **{
          f'reference_findings{key}': sorted(reader.labels_of_study(study))
          for key, reader in readers.items()
        },
        **{
          f'predicted_findings{key}': sorted(reader.labels_of_text(text))
          for key, reader in readers.items()
        },
      }
      for study, text in zip(
        self._data.studies[split], self.texts(rows), strict=True
      )
    ]

  def attended_page(
    self,
    look: Callable,
    results: dict,
    rows: Mapping,
    variables: dict,
    history: list[dict] | None,
  ) -> list:
    """Scores, curves, and examples with the words' attention on the images.

    Args:
      look: see `page_examples`.
      results: of the test split.
      rows: with 'ids', (S, T).
      variables: the model's.
      history: of the checkpoint.
    """
    examples = page_examples(
      self._data,
      self._reader,
      look,
      self._config.eval.examples,
      variables,
      rows['ids'],
      self.texts(rows),
    )
    return report_sections(results, history, examples)

  def counted(self, params: Mapping) -> str:
    """Parameters, data and words; for `about`."""
    count = parameter_overview.count_parameters(params)
    return (
      f'{self._config.name}: {count:,} parameters; {self._data.name}: '
      f'{len(self._data.studies["train"])} training studies, '
      f'{self.tokenizer.vocab_size} words'
    )

  def said(self, text: str) -> dict:
    """A report and the findings that it states; for `describe`."""
    findings = sorted(self._reader.labels_of_text(text))
    return {'report': text, 'findings': findings}

  def meta(self) -> dict:
    """Words, data, labels and start."""
    return {
      'tokenizer': self.tokenizer.to_json(),
      'dataset': self._data.name,
      'label_source': self._reader.source,
      'encoder_start': self.encoder_start,
    }

  def check(self, meta: dict, where: Path) -> None:
    """Raises CheckpointError if the data give other words."""
    check_same_words(meta['tokenizer'], self._data.tokenizer, where)

  def lines(self, results: dict) -> list[str]:
    """The model beside its baselines, and how well studies are retrieved."""
    table = {'model': results, **catalogue.beside(results)}
    lines = catalogue.terminal_table(table, catalogue.REPORT_SCORES)
    for sentence in catalogue.paired_sentences(results):
      lines += folded(sentence).splitlines()
    share = results['reference_abnormal_share']
    of_iu = results.get('reference_abnormal_share_iu')
    more = f', by iu in {100 * of_iu:.0f} %' if of_iu is not None else ''
    lines.append(f'any finding in {100 * share:.0f} % of the references{more}')
    if 'retrieval' in results:
      images, reports, chance = (
        results['retrieval'][way]['recall_5']
        for way in ('image_to_report', 'report_to_image', 'chance')
      )
      lines.append(
        f'recall@5 of reports by images {images:.3f}, of images by reports '
        f'{reports:.3f}, chance {chance:.3f}'
      )
    return lines
