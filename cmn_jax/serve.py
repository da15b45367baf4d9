"""A page on this machine: a film goes in, a report comes out.

  python -m cmn_jax.serve --checkpoint DIR [--classifier DIR] [--port 7860]

Needs the extra 'serve'. Films are kept for minutes, in a folder that goes when
the page is closed, and sent nowhere. Not for clinical use.
"""

import argparse
import contextlib
import html
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from input_pipeline.errors import UserError
from input_pipeline.terminal import folded

_MOST_BYTES = 50 * 2**20
# Seconds after which an uploaded film is removed, and between two looks.
_KEPT, _LOOK = 600, 60
# Visitors who may wait; one more is told to come back.
_MOST_WAITING = 100
_EXAMPLES = 3
_CSS = """
.warned { position: fixed !important; inset: auto 0 0 0; z-index: 100; }
.warned p { margin: 0; padding: 8px 16px; font-weight: 650;
  background: #7a1f16; color: #fff; }
.gradio-container { padding-bottom: 80px !important; }
.or { color: inherit !important; }
button.primary { background: #1d4ed8 !important; color: #fff !important; }
.refused { padding: 12px; border: 2px solid #b3392d; border-radius: 4px; }
iframe.report { width: 100%; height: 700px; border: 0; display: block; }
"""
_HEAD = """<script>
addEventListener('message', ({source, data}) => {
  for (const frame of document.querySelectorAll('iframe.report'))
    if (frame.contentWindow === source && data.height > 0)
      frame.style.height = Math.min(data.height, 6000) + 'px';
});
// Both slots' buttons have one name; a screen reader needs each slot's own.
new MutationObserver(() => {
  for (const slot of document.querySelectorAll('.slot')) {
    const button = slot.querySelector('.upload-container');
    const name = slot.querySelector('label')?.textContent.trim();
    if (name && button && !button.ariaLabel.startsWith(name))
      button.ariaLabel = name + ': ' + button.ariaLabel;
  }
}).observe(document, {childList: true, subtree: true});
</script>"""


def page_of(desk, examples: Mapping[str, Sequence[str | None]]):
  """The page, not opened yet.

  Args:
    desk: `Desk` that answers.
    examples: name to two films, of which the second may be None.
  """
  import gradio

  from cmn_jax.desk import AS_TRAINED, AT_ONCE, BEAMS, SAMPLE, TEMPERATURES

  writer, methods = desk.writer, desk.methods
  views = min(writer.config.data.views, 2)
  with gradio.Blocks(
    title='Reports of chest films',
    analytics_enabled=False,
    delete_cache=(_LOOK, _KEPT),
  ) as page:
    gradio.HTML(
      f'<p role="note">{writer.disclaimer}</p>',
      elem_classes='warned',
    )
    gradio.HTML(
      '<h1>Reports of chest films</h1><p>'
      f'{html.escape(writer.provenance)}. Films are PNG, JPEG or DICOM, of at '
      f'most {_MOST_BYTES >> 20} MB, and removed after {_KEPT // 60} '
      'minutes.</p>'
    )
    with gradio.Row():
      slots = [
        _slot('Frontal film'),
        _slot('Second film', visible=views > 1),
      ]
    with gradio.Accordion(
      'How words are chosen', open=False, visible=len(methods) > 1
    ):
      choices = [
        gradio.Radio(methods, value=AS_TRAINED, label='Method'),
        gradio.Radio(BEAMS, value=3, label="Beams, of 'beam'"),
        gradio.Radio(
          TEMPERATURES,
          value=1.0,
          label="Temperature, of 'sample'",
          visible=SAMPLE in methods,
        ),
      ]
    button = gradio.Button('Write the report', variant='primary')
    shown, answer = gradio.HTML(), gradio.JSON(visible=False)
    if examples:
      gradio.Examples(
        [films[:views] for films in examples.values()],
        slots[:views],
        label='Example films',
        example_labels=list(examples),
        api_visibility='private',
      )
    button.click(
      desk.answer,
      [*slots, *choices],
      [shown, answer],
      api_name='report',
      concurrency_limit=2 * AT_ONCE,  # so that some wait for the next call
    )
  return page.queue(api_open=False, max_size=_MOST_WAITING)


def _slot(label: str, visible: bool = True):
  """For one film; takes uploaded files alone."""
  import gradio

  slot = gradio.File(
    label=label,
    height=160,
    min_width=260,
    visible=visible,
    elem_classes='slot',
  )
  store = slot.async_move_resource_to_block_cache

  async def store_upload(path):
    # Gradio would fetch an address; other paths it refuses by itself.
    if path and '://' in path:
      raise gradio.Error('expected an uploaded file, not an address')
    return await store(path)

  slot.async_move_resource_to_block_cache = store_upload
  return slot


def _is_taken(host: str, port: int) -> bool:
  """Whether something listens at that address."""
  try:
    socket.create_connection((host, port), timeout=1).close()
  except OSError:  # Nothing does, or the name is none: Gradio says which.
    return False
  return True


@contextlib.contextmanager
def opened(
  writer, host: str, port: int | None, examples: str | None = None
) -> Iterator[str]:
  """A page at an address, until it is left.

  Args:
    writer: of `Reporter.load`.
    host: to listen at.
    port: of it; None takes the first free one from 7860 on.
    examples: a folder, table or pattern of `read_film_list`; None shows drawn
      films where the model has seen drawn ones.

  Raises:
    UserError: Gradio is not installed, or examples that are none.
    OSError: the port is taken.
  """
  with (
    tempfile.TemporaryDirectory(prefix='cmn_jax-serve-') as folder,
    _environment(
      GRADIO_ANALYTICS_ENABLED='False', GRADIO_TEMP_DIR=f'{folder}/films'
    ),
  ):
    try:
      import gradio
    except ImportError as error:
      raise UserError(
        f"the page needs Gradio ({error}): pip install '.[serve]'"
      ) from None
    from cmn_jax.desk import Desk
    from input_pipeline.film_list import read_film_list, slots_of

    c = writer.config.data
    drawn = f'{folder}/drawn'
    _draw(Path(drawn), c.image_size)
    studies, _ = read_film_list(drawn)
    desk = Desk(writer)
    desk.warm_up(studies[0])
    if examples:
      studies, _ = read_film_list(examples)
    offered = studies if examples or writer.drawn else []
    page = page_of(
      desk, {one.id: slots_of(one, 2, c.view_rule) for one in offered}
    )
    _, address, _ = page.launch(
      server_name=host,
      server_port=port,
      prevent_thread_lock=True,
      quiet=True,
      share=False,
      inbrowser=False,
      allowed_paths=[],
      max_file_size=_MOST_BYTES,
      footer_links=[],
      run_history=False,
      enable_monitoring=False,
      ssr_mode=False,
      pwa=False,
      mcp_server=False,
      # Named as text, so that no font is fetched.
      theme=gradio.themes.Default(font='system-ui', font_mono='monospace'),
      css=_CSS,
      head=_HEAD,
    )
    try:
      yield address
    finally:
      page.close(verbose=False)


@contextlib.contextmanager
def _environment(**values):
  before = dict(os.environ)
  os.environ.update(values)
  try:
    yield
  finally:
    os.environ.clear()
    os.environ.update(before)


def _draw(folder: Path, size: int) -> None:
  """Patients that do not exist."""
  from input_pipeline.phantom.films import draw_study
  from input_pipeline.phantom.sampling import sample_findings

  for n in range(_EXAMPLES):
    place = folder / f'patient {n + 1}'
    place.mkdir(parents=True)
    findings = sample_findings(np.random.default_rng([7, n]))
    films = draw_study(findings, 7, n, size)
    for film, view in zip(films, ('frontal', 'lateral'), strict=True):
      Image.fromarray(film).save(place / f'{view}.png')


def main(argv: list[str] | None = None) -> None:
  """Reads the command line; what a person can mend is told in one sentence."""
  parser = argparse.ArgumentParser(
    prog='python -m cmn_jax.serve', description=__doc__.split('\n')[0]
  )
  parser.add_argument('--checkpoint', required=True, help='workdir or step')
  parser.add_argument(
    '--classifier', help='workdir or step of a classifier to be asked too'
  )
  parser.add_argument('--port', type=int, default=7860)
  parser.add_argument(
    '--host',
    default='127.0.0.1',
    help='whom to listen to: this machine alone, unless you name another',
  )
  parser.add_argument(
    '--examples',
    metavar='FOLDER',
    help='films to be offered to everybody; drawn ones without, where the '
    'model has seen drawn ones',
  )
  args = parser.parse_args(argv)
  # Gradio would say so in its own words, and after the model is loaded.
  if _is_taken(args.host, args.port):
    sys.exit(f'error: port {args.port} is taken: name another, --port')
  # Imported late: --help must not wait for JAX.
  from cmn_jax import process
  from cmn_jax.reporter import Reporter

  process.set_up()
  # So that the folder of films goes with a `kill`, too.
  signal.signal(signal.SIGTERM, lambda *_: sys.exit())
  start = time.monotonic()
  try:
    writer = Reporter.load(args.checkpoint, args.classifier)
    with opened(writer, args.host, args.port, args.examples) as address:
      seconds = f'{time.monotonic() - start:.0f} s'
      print(
        f'{folded(writer.provenance)}\nNot for clinical use.\n'
        f'Open {address} (ready after {seconds}; Ctrl-C ends it)',
        flush=True,
      )
      threading.Event().wait()
  except KeyboardInterrupt:
    print('closed')
  except (UserError, OSError) as error:
    sys.exit(f'error: {error}')


if __name__ == '__main__':
  main()
