"""A table of numbers, and its Markdown, CSV and LaTeX."""

import csv
import dataclasses
import io
import re
import statistics
from collections.abc import Callable, Iterable
from typing import NamedTuple

RUN, BASELINE, PUBLISHED = 'run', 'baseline', 'published'
_LATEX = str.maketrans(
  {c: f'\\{c}' for c in '&%$#_{}'} | {'~': r'\textasciitilde{}'}
)


class Cell(NamedTuple):
  """A number; of several runs their mean and sample deviation.

  Floats are printed with `digits` decimals, from 10 on with one.
  """

  value: float | int | None
  deviation: float | None = None
  digits: int = 3

  def text(self, plus_minus: str = '±') -> str:
    """As it is printed; a dash where there is no number."""
    if self.value is None:
      return '-'
    if not isinstance(self.value, float):
      return str(self.value)
    digits = 1 if abs(self.value) >= 10 else self.digits
    if self.deviation is None:
      return f'{self.value:.{digits}f}'
    return f'{self.value:.{digits}f} {plus_minus} {self.deviation:.{digits}f}'


class Row(NamedTuple):
  """One line of a table: RUN, BASELINE or PUBLISHED."""

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


def cell_of(values: Iterable[float | int | None]) -> Cell:
  """One cell of the values of several runs; those that are None count not."""
  values = [value for value in values if value is not None]
  if not values:
    return Cell(None)
  if len(values) == 1:
    return Cell(values[0])
  return Cell(float(statistics.fmean(values)), statistics.stdev(values))


def markdown(tables: list[Table]) -> str:
  """Sections of pipe tables; own runs in bold, published rows in italics."""
  parts = []
  for table in tables:
    marks = {RUN: '**', PUBLISHED: '*', BASELINE: ''}
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
      cells = ' & '.join(cell.text(r'$\pm$') for cell in row.cells)
      lines.append(rf'{row.name.translate(_LATEX)} & {cells} \\')
    lines += [r'\hline', r'\end{tabular}', r'\end{table}']
    parts.append('\n'.join(lines))
  return '\n\n'.join(parts) + '\n'


FORMATS: dict[str, Callable[[list[Table]], str]] = {
  'markdown': markdown,
  'csv': comma_separated,
  'latex': latex,
}
