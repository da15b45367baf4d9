"""Reports of many studies as a table that grows, and as a page."""

import html
from collections.abc import Sequence
from pathlib import Path

from cmn_jax.own_films import Result, write_reports
from cmn_jax.pages.page import Section, write_page
from cmn_jax.pages.studies import Example, studies_section
from cmn_jax.report import Writer
from cmn_jax.report_rows import ReportRows, check_place, model_key, row_of
from input_pipeline.film_list import FilmStudy, printable
from input_pipeline.film_statistics import sentence_of
from input_pipeline.terminal import folded, progress_bar

# Studies on a page, of which each brings its films.
_MOST_ON_PAGE = 200


def predict_many(
  writer: Writer,
  studies: Sequence[FilmStudy],
  out: Path,
  beam_size: int | None = None,
  page: Path | None = None,
) -> None:
  """Writes a row for each study that is not in the table yet.

  Args:
    writer: of `Reporter.load`.
    studies: of `read_film_list`.
    out: .jsonl or .csv.
    beam_size: as for `write_reports`.
    page: of the first 200 studies, if it is wanted; those of them that the
      table has are written again for it.

  Raises:
    UserError: `out` is of another model, of other films, of none, or held by
      another process; or no file can be written there.
  """
  if page:
    check_place('--page', page)
  key, shown, counts = model_key(writer, beam_size), [], [0, 0, 0]
  shows = _MOST_ON_PAGE if page else 0
  on_page = {study.id for study in studies[:shows]}
  with ReportRows(out, key) as rows:
    rows.check_films(studies)
    todo = [s for s in studies if s.id not in rows.done or s.id in on_page]
    results = write_reports(writer, todo, beam_size, page is not None)
    for result in progress_bar(results, total=len(todo), unit=' studies'):
      if result.study.id in on_page:
        shown.append(result)
      if result.study.id in rows.done:
        continue
      rows.add([row_of(result, key)])
      unlike = result.report and result.report.unlike_training
      for place, there in enumerate((True, result.error, unlike)):
        counts[place] += bool(there)
  if page:
    more = len(studies) - len(shown)
    write_own_page(
      page, writer, shown, f'{more:,} more studies are in {out}.' * bool(more)
    )
  written, unread, unlike = counts
  said = printable(
    f'{written} rows written to {out}'
    + f', {len(studies) - written} were there' * (written < len(studies))
    + f'; {unread} of films that could not be read' * bool(unread)
    + f'; {unlike} do not look like the films it was trained on' * bool(unlike)
  )
  print(folded(said))


def write_own_page(
  path: Path, writer: Writer, results: Sequence[Result], note: str = ''
) -> None:
  """The studies of a report's page, for films that nobody has reported.

  Args:
    path: of the HTML file.
    writer: that has written them.
    results: what it wrote.
    note: of what is not shown, if anything.
  """
  examples = [example_of(one) for one in results if not one.error]
  unread = ''.join(
    f'<li>{html.escape(f"{one.study.id}: {one.error}")}</li>'
    for one in results
    if one.error
  )
  warning = f'<p class="warning">{writer.disclaimer}</p>'
  note = f'<p class="note">{html.escape(printable(note))}</p>' * bool(note)
  sections = [Section('', warning + note)]
  if examples:
    sections.append(Section('Studies', studies_section(examples)))
  if unread:
    sections.append(Section('Not read', f'<ul>{unread}</ul>'))
  write_page(path, 'Reports', f'{writer.provenance}.', sections)


def example_of(result: Result) -> Example:
  """A study that was read, as a page shows it."""
  report = result.report
  named = ', '.join(
    f'{one.name} {one.probability:.2f}'
    for one in sorted(report.classes, key=lambda one: -one.probability)
  )
  said = sentence_of(report.looks or [])
  return Example(
    study_id=result.study.id,
    images_IxHxW=result.images_IxHxW,
    reference=None,
    prediction=report.text,
    reference_findings=[],
    predicted_findings=report.findings,
    words=report.words,
    attention_TxIxhxw=report.attention,
    warning=said and f'{said[0].upper()}{said[1:]}.',
    note=f'Probabilities: {named}.' if named else '',
  )
