"""A table of reports: whose rows it has, who writes it, the page beside it."""

import csv
import json
import os

import numpy as np
import pytest
from PIL import Image

from cmn_jax import predict_many as module
from cmn_jax.predict_many import predict_many
from cmn_jax.report_rows import ReportRows
from input_pipeline.errors import UserError
from input_pipeline.film_list import read_film_list
from tests.made.fake_writer import FakeWriter


def _draw(folder, *names):
  for name in names:
    path = os.path.join(os.fsencode(folder), os.fsencode(name), b'0.png')
    os.makedirs(os.path.dirname(path))
    with open(path, 'wb') as file:
      Image.fromarray(np.full((9, 9), 7, np.uint8)).save(file, 'PNG')
  return read_film_list(str(folder))[0]


@pytest.mark.parametrize('form', ['csv', 'jsonl'])
def test_rows_of_other_films_are_no_ones_own(tmp_path, monkeypatch, form):
  out, writer = tmp_path / f'r.{form}', FakeWriter()
  first = _draw(tmp_path / 'week1', 'case1', 'case2')
  predict_many(writer, first, out)
  before = out.read_bytes()
  second = _draw(tmp_path / 'week2', 'case1', 'case3')
  with pytest.raises(UserError, match='has the study case1 with other films'):
    predict_many(writer, second, out)
  assert out.read_bytes() == before
  # The same films by another path are the same.
  monkeypatch.chdir(tmp_path)
  predict_many(writer, read_film_list('week1')[0], out)
  assert out.read_bytes() == before and sum(writer.sizes) == 2


def test_left_out_films_are_a_rows_own(tmp_path):
  (study,) = _draw(tmp_path / 'films', 'a; b')
  for name in ('1.png', '2.png'):
    (tmp_path / 'films' / 'a; b' / name).write_bytes(
      (tmp_path / 'films' / 'a; b' / '0.png').read_bytes()
    )
  studies, _ = read_film_list(str(tmp_path / 'films'))
  for form in ('csv', 'jsonl'):
    for _ in range(2):
      predict_many(FakeWriter(), studies, tmp_path / f'r.{form}')
    with pytest.raises(UserError, match='with other films'):
      predict_many(FakeWriter(), [study], tmp_path / f'r.{form}')


def test_one_process_at_a_time(tmp_path):
  out = tmp_path / 'r.csv'
  with ReportRows(out, 'k') as rows:
    rows.add([])
    with pytest.raises(UserError, match=r'r\.csv is written by another proc'):
      ReportRows(out, 'k')
  with ReportRows(out, 'k') as rows:
    assert rows.done == {}


@pytest.mark.parametrize(
  ('name', 'content'),
  [('r.csv', 'my notes'), ('r.csv', 'a,b\n'), ('r.jsonl', 'my notes')],
)
def test_a_file_of_something_else_stays(tmp_path, name, content):
  (tmp_path / name).write_text(content)
  with pytest.raises(UserError, match='holds other things'):
    ReportRows(tmp_path / name, 'k')
  assert (tmp_path / name).read_text() == content


def test_a_page_is_refused_before_reports_are_written(tmp_path):
  studies, writer = _draw(tmp_path / 'films', 'a'), FakeWriter()
  for page in (tmp_path / 'none' / 'r.html', tmp_path / 'films'):
    with pytest.raises(UserError, match='--page'):
      predict_many(writer, studies, tmp_path / 'r.jsonl', page=page)
  assert not writer.sizes and not (tmp_path / 'r.jsonl').exists()


def test_a_page_behind_a_resumed_table_has_all(tmp_path, monkeypatch):
  studies, writer = _draw(tmp_path / 'films', *'abc'), FakeWriter()
  out, page = tmp_path / 'r.csv', tmp_path / 'r.html'
  predict_many(writer, studies[:2], out)
  predict_many(writer, studies, out, page=page)
  assert page.read_text().count('<article') == 3
  assert len(list(csv.reader(out.open(newline='')))) == 4
  monkeypatch.setattr(module, '_MOST_ON_PAGE', 2)
  predict_many(writer, studies, out, page=page)
  assert page.read_text().count('<article') == 2
  assert f'1 more studies are in {out}.' in page.read_text()


def test_names_that_are_no_utf8(tmp_path, capsys):
  studies, writer = _draw(tmp_path / 'films', b'M\xfcller'), FakeWriter()
  (bad,) = _draw(tmp_path / 'bad', b'Z\xfcrn')
  with open(bad.films[0], 'wb') as file:
    file.write(b'no film')
  for form in ('csv', 'jsonl'):
    for _ in range(2):
      out = tmp_path / f'r.{form}'
      predict_many(writer, [*studies, bad], out, page=tmp_path / 'r.html')
    assert '0 rows written' in capsys.readouterr().out
  rows = [json.loads(line) for line in out.read_text('utf-8').splitlines()]
  assert [row['id'] for row in rows] == ['M\\udcfcller', 'Z\\udcfcrn']
  text = (tmp_path / 'r.html').read_text('utf-8')
  assert 'M\\udcfcller' in text and 'Z\\udcfcrn' in text
