"""The page of one's own films as a person meets it, in Chromium."""

import shutil

import pytest

from cmn_jax import serve
from cmn_jax.reporter import Reporter

pytest.importorskip('gradio')
sync_api = pytest.importorskip('playwright.sync_api')
axe = pytest.importorskip('axe_playwright_python.sync_playwright')
CHROMIUM = shutil.which('chromium') or shutil.which('google-chrome')

pytestmark = [
  pytest.mark.page,
  pytest.mark.skipif(not CHROMIUM, reason='needs chromium'),
]


@pytest.fixture(scope='module')
def browser():
  with sync_api.sync_playwright() as driver:
    browser = driver.chromium.launch(
      executable_path=CHROMIUM, args=['--no-sandbox']
    )
    yield browser
    browser.close()


@pytest.fixture(scope='module')
def address(runs, browser):
  writer = Reporter.load(runs.report, runs.root / 'classifier')
  with serve.opened(writer, '127.0.0.1', None) as address:
    yield address


@pytest.fixture(params=[1400, 400])
def page(request, browser, address):
  """Of a new visitor; a page that asks another machine for anything fails."""
  page = browser.new_page(viewport={'width': request.param, 'height': 900})
  asked = []
  page.on('request', lambda request: asked.append(request.url))
  page.goto(address)
  page.get_by_label('Second film: Click to upload').wait_for()
  yield page
  others = [u for u in asked if not u.startswith((address, 'data:', 'blob:'))]
  assert not others
  page.close()


def _put(page, slot, film):
  page.locator('input[type=file]').nth(slot).set_input_files(film)
  name = film['name'] if isinstance(film, dict) else film.name
  page.get_by_label(name).wait_for()


def _write(page):
  page.get_by_role('button', name='Write the report').click()
  frame = page.frame_locator('iframe.report')
  frame.locator('.generated button').first.wait_for(timeout=60_000)
  return frame


def _serious(frame):
  found = axe.Axe().run(frame).response['violations']
  return [
    (one['id'], [node['html'][:200] for node in one['nodes']])
    for one in found
    if one['impact'] in ('serious', 'critical')
  ]


def test_a_film_a_report_and_where_a_word_looked(page, runs):
  study = next((runs.root / 'data' / 'images').iterdir())
  assert not _serious(page)
  # The second first: a slot that is filled has no input any more.
  _put(page, 1, study / '1.png')
  _put(page, 0, study / '0.png')
  frame = _write(page)
  said = Reporter.load(runs.report).report([study / '0.png', study / '1.png'])
  words = frame.locator('.generated button')
  assert words.all_inner_texts() == said.words[: words.count()]
  assert frame.get_by_text('Probabilities: ').count() == 1
  caption = frame.locator('.caption')
  words.nth(3).hover()
  assert said.words[3] in caption.inner_text()
  words.nth(1).click()
  page.mouse.move(0, 0)
  page.keyboard.press('ArrowRight')
  assert f'“{said.words[2]}”' in caption.inner_text()
  canvas = frame.locator('canvas').first
  assert canvas.evaluate('c => new Set(c.toDataURL()).size') > 10
  page.get_by_role('button', name='How words are chosen').click()
  page.get_by_label('greedy').wait_for()
  assert not _serious(page)
  (inner,) = (f for f in page.frames if f.parent_frame)
  assert not _serious(inner)
  # The frame is as high as what it holds, and the warning never leaves.
  held = inner.evaluate('document.documentElement.scrollHeight')
  assert abs(page.locator('iframe.report').bounding_box()['height'] - held) < 2
  page.mouse.wheel(0, 5000)
  page.wait_for_timeout(300)
  assert page.evaluate('scrollY') > 0
  warning = page.get_by_role('note').bounding_box()
  assert abs(warning['y'] + warning['height'] - 900) < 1
  across = 'document.documentElement.scrollWidth - innerWidth'
  assert page.evaluate(across) <= 0 and inner.evaluate(across) <= 0


def _tab_to(page, text, shift=''):
  for _ in range(30):
    page.keyboard.press(f'{shift}Tab')
    at = page.evaluate(
      'const e = document.activeElement; e.innerText + e.ariaLabel + e.tagName'
    )
    if text in at:
      return
  raise AssertionError(f'no way to {text!r} by keyboard')


def test_the_keyboard_alone_suffices(page, runs):
  """An example's report, and a film of one's own chosen by Enter."""
  film = next((runs.root / 'data' / 'images').iterdir()) / '0.png'
  page.on('filechooser', lambda chooser: chooser.set_files(film))
  _tab_to(page, 'Frontal film: ')
  page.keyboard.press('Enter')
  page.get_by_label('0.png').wait_for()
  _tab_to(page, 'patient 2')
  page.keyboard.press('Enter')
  page.get_by_label('lateral.png').wait_for()
  _tab_to(page, 'Write the report', 'Shift+')
  page.keyboard.press('Enter')
  frame = page.frame_locator('iframe.report')
  frame.locator('.generated button').first.wait_for(timeout=60_000)
  _tab_to(page, 'IFRAME')
  caption = frame.locator('.caption')
  before = caption.inner_text()
  for _ in range(3):
    page.keyboard.press('Tab')
    page.keyboard.press('ArrowRight')
  assert caption.inner_text() != before


def test_garbage_is_told(page):
  name = {'name': 'film.png', 'mimeType': 'image/png'}
  _put(page, 0, {**name, 'buffer': b'PK no film'})
  page.get_by_role('button', name='Write the report').click()
  alert = page.get_by_role('alert')
  alert.get_by_text('film.png: is neither PNG nor JPEG').wait_for()
  assert page.locator('iframe.report').count() == 0


def test_sixty_megabytes(page, tmp_path):
  large = tmp_path / 'large.png'
  large.write_bytes(bytes(60_000_000))
  page.locator('input[type=file]').first.set_input_files(large)
  page.get_by_text('exceed the maximum allowed size of 50.0').wait_for()


def test_two_visitors_at_once(page, browser, address, runs):
  studies = sorted((runs.root / 'data' / 'images').iterdir())[:2]
  other = browser.new_page()
  other.goto(address)
  for visitor, study in zip((page, other), studies, strict=True):
    visitor.get_by_role('button', name='Write the report').wait_for()
    _put(visitor, 0, study / '0.png')
  for visitor in (page, other):
    visitor.get_by_role('button', name='Write the report').click()
  reporter = Reporter.load(runs.report)
  for visitor, study in zip((page, other), studies, strict=True):
    frame = visitor.frame_locator('iframe.report')
    words = frame.locator('.generated button')
    words.first.wait_for(timeout=60_000)
    said = reporter.report([study / '0.png']).words
    assert words.all_inner_texts() == said[: words.count()]
  other.close()
