"""Where visitors ask for reports: one call of the model at a time."""

import concurrent.futures
import html
import queue
import threading
from pathlib import Path

from cmn_jax.own_films import Result, write_reports
from cmn_jax.pages.page import Section, page_text
from cmn_jax.pages.studies import studies_section
from cmn_jax.predict import as_json
from cmn_jax.predict_many import example_of
from cmn_jax.report import Writer
from input_pipeline.errors import UserError
from input_pipeline.film_list import FilmStudy, study_of

AT_ONCE = 4  # studies of one call
AS_TRAINED, BEAM, GREEDY, SAMPLE = 'as trained', 'beam', 'greedy', 'sample'
# Each is a program of its own, so there are few.
BEAMS, TEMPERATURES = (2, 3, 4, 5), (0.5, 0.7, 1.0, 1.3)
# The report's frame may run its own script and reach nothing: it says to the
# page how high it is.
_SAYS_HEIGHT = """<script>
new ResizeObserver(() => parent.postMessage(
  {height: document.documentElement.scrollHeight}, '*')).observe(document.body);
</script>"""


class Desk:
  """From what a visitor gave to HTML and JSON; those who wait share a call.

  Attributes:
    writer: of `Reporter.load`.
    methods: how its words can be chosen.
  """

  def __init__(self, writer: Writer):
    self.writer, self.methods = writer, [AS_TRAINED]
    if hasattr(writer, 'generate'):
      self.methods += [BEAM, GREEDY]
    if hasattr(writer, 'decoding_as'):
      self.methods += [SAMPLE]
    self._writers, self._waiting = {None: writer}, queue.SimpleQueue()
    self._most = min(AT_ONCE, writer.config.eval.batch_size)
    threading.Thread(target=self._work, daemon=True).start()

  def answer(
    self,
    film: str | None,
    second_film: str | None = None,
    method: str = AS_TRAINED,
    beam_size: int = 3,
    temperature: float = 1.0,
  ) -> tuple[str, dict]:
    """The report as HTML, and as JSON's types; a sentence where there is none.

    Args:
      film: path of an uploaded file, the frontal film's.
      second_film: of another film of the study, if there is one.
      method: how words are chosen.
      beam_size: of the method 'beam'.
      temperature: of the method 'sample'.
    """
    films = [path for path in (film, second_film) if path]
    study = study_of(', '.join(Path(path).name for path in films), films)
    choice = (
      {BEAM: beam_size, GREEDY: 1}.get(method),
      temperature if method == SAMPLE else None,
    )
    try:
      if not films:
        raise UserError('no film was given: expected one or two')
      said = concurrent.futures.Future()
      self._waiting.put((said, study, choice))
      result = said.result()
      if result.error:
        raise UserError(result.error)
    except UserError as error:
      return _refused(study, str(error))
    return self._shown(result)

  def warm_up(self, study: FilmStudy) -> None:
    """Compiles what most visitors need."""
    for size in {min(1 << n, self._most) for n in range(self._most)}:
      self._write([study] * size, None, None)

  def _work(self):
    while True:
      taken = [self._waiting.get()]
      while len(taken) < self._most and not self._waiting.empty():
        taken.append(self._waiting.get())
      for choice in dict.fromkeys(choice for *_, choice in taken):
        alike = [one for one in taken if one[2] == choice]
        try:
          results = self._write([study for _, study, _ in alike], *choice)
          for (said, *_), result in zip(alike, results, strict=True):
            said.set_result(result)
        except Exception as error:  # It is for those who asked.
          for said, *_ in alike:
            said.set_exception(error)

  def _write(self, studies, beam_size, temperature) -> list[Result]:
    if temperature not in self._writers:
      self._writers[temperature] = self.writer.decoding_as(
        method=SAMPLE, temperature=temperature
      )
    writer = self._writers[temperature]
    return list(write_reports(writer, studies, beam_size, attention=True))

  def _shown(self, result) -> tuple[str, dict]:
    shown = studies_section([example_of(result)]) + _SAYS_HEIGHT
    page = page_text('Report', '', [Section('What the model wrote', shown)])
    names = [Path(path).name for path in result.films]
    return (
      '<iframe class="report" title="Report" sandbox="allow-scripts" '
      f'srcdoc="{html.escape(page)}"></iframe>',
      as_json(self.writer, names, result.report),
    )


def _refused(study, error: str) -> tuple[str, dict]:
  """A sentence, by the names that the visitor's files had."""
  for path in study.films:
    error = error.replace(path, Path(path).name)
  return (
    f'<p class="refused" role="alert">{html.escape(error)}</p>',
    {'error': error, 'clinical_use': False},
  )
