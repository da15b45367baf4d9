"""A table of numbers, and its Markdown, CSV and LaTeX."""

import csv
import dataclasses
import io
import itertools
import re
import statistics
from collections.abc import Callable, Iterable
from typing import NamedTuple

from cmn_jax.scores.catalogue import MISSING, Score

# Kinds of rows; OTHERS are predictions of other programs, scored by ours.
RUN, BASELINE, OTHERS, PUBLISHED = 'run', 'baseline', 'others', 'published'
_LATEX = str.maketrans(
  {c: f'\\{c}' for c in '&%$#_{}'} | {'~': r'\textasciitilde{}'}
)


class Cell(NamedTuple):
  """A number; of several runs their mean and sample deviation.

  Printed with `digits` decimals, as a percentage if `percent`.
  """

  value: float | None
  deviation: float | None = None
  digits: int = 3
  percent: bool = False

  def text(self, plus_minus: str = '±', percent_sign: str = '%') -> str:
    """As it is printed; a dash where there is no number."""
    if self.value is None:
      return MISSING
    scale = 100 if self.percent else 1
    text = f'{scale * self.value:.{self.digits}f}'
    if self.deviation is not None:
      text += f' {plus_minus} {scale * self.deviation:.{self.digits}f}'
    return f'{text} {percent_sign}' if self.percent else text


class Row(NamedTuple):
  """One line of a table, of one of the kinds."""

  name: str
  kind: str
  cells: list[Cell]


@dataclasses.dataclass
class Table:
  """Rows under a title.

  Attributes:
    title: a line.
    note: a paragraph above the rows.
    columns: a name for each cell of a row.
    rows: in order.
  """

  title: str
  note: str
  columns: list[str]
  rows: list[Row]


def cell_of(values: Iterable[float | None], score: Score) -> Cell:
  """One cell of the values of several runs; those that are None count not."""
  values = [value for value in values if value is not None]
  if not values:
    return Cell(None)
  deviation = statistics.stdev(values) if len(values) > 1 else None
  mean = statistics.fmean(values)
  return Cell(mean, deviation, score.digits, score.percent)


def without_empty_columns(table: Table) -> Table:
  """The table without the columns in which no row has a number."""
  filled = [
    any(row.cells[c].value is not None for row in table.rows)
    for c in range(len(table.columns))
  ]
  rows = [
    row._replace(cells=list(itertools.compress(row.cells, filled)))
    for row in table.rows
  ]
  columns = list(itertools.compress(table.columns, filled))
  return Table(table.title, table.note, columns, rows)


def markdown(tables: list[Table]) -> str:
  """Sections of pipe tables; our runs in bold, those of others in italics."""
  parts = []
  for table in tables:
    marks = {RUN: '**', BASELINE: '', OTHERS: '*', PUBLISHED: '*'}
    lines = [
      f'| {" | ".join(["", *table.columns])} |',
      f'| --- | {" | ".join("---:" for _ in table.columns)} |',
    ]
    for row in table.rows:
      mark = marks[row.kind]
      cells = ' | '.join(cell.text() for cell in row.cells)
      lines.append(f'| {mark}{row.name}{mark} | {cells} |')
    parts.append(f'## {table.title}\n\n{table.note}\n\n' + '\n'.join(lines))
  return '\n\n'.join(parts) + '\n'


def comma_separated(tables: list[Table]) -> str:
  """A line for each number: table, row, kind, column, value, deviation."""
  out = io.StringIO()
  writer = csv.writer(out, lineterminator='\n')
  writer.writerow(['table', 'row', 'kind', 'column', 'value', 'deviation'])
  for table in tables:
    for row in table.rows:
      for column, cell in zip(table.columns, row.cells, strict=True):
        if cell.value is not None:
          writer.writerow([table.title, row.name, row.kind, column, *cell[:2]])
  return out.getvalue()


def latex(tables: list[Table]) -> str:
  """A `table` environment for each, without packages."""
  parts = []

  def text(words: str) -> str:
    return re.sub(r'`([^`]*)`', r'\\texttt{\1}', words.translate(_LATEX))

  for table in tables:
    heads = ' & '.join(c.translate(_LATEX) for c in ['', *table.columns])
    lines = [
      r'\begin{table}',
      rf'\caption{{{text(table.title)}. {text(table.note)}}}',
      rf'\begin{{tabular}}{{l{"r" * len(table.columns)}}}',
      rf'\hline {heads} \\ \hline',
    ]
    for row in table.rows:
      cells = ' & '.join(cell.text(r'$\pm$', r'\%') for cell in row.cells)
      lines.append(rf'{row.name.translate(_LATEX)} & {cells} \\')
    lines += [r'\hline', r'\end{tabular}', r'\end{table}']
    parts.append('\n'.join(lines))
  return '\n\n'.join(parts) + '\n'


FORMATS: dict[str, Callable[[list[Table]], str]] = {
  'markdown': markdown,
  'csv': comma_separated,
  'latex': latex,
}
