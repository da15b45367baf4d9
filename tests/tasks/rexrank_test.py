"""inference.py at the root, by ReXrank's contract and its files' traps."""

import json
import math
import re
from pathlib import Path

import pytest
import yaml
from PIL import Image

import inference
from cmn_jax import export
from cmn_jax.reporter import Reporter
from input_pipeline.errors import UserError
from input_pipeline.film_list import FilmStudy
from tests.made.fake_writer import FakeWriter

ROOT = Path('films')
IU = {
  'key_image_path': 'a/1.png',
  'image_path': ['a/0.png', 'a/1.png'],
  'frontal_lateral': ['Lateral', 'Frontal'],
}


@pytest.mark.parametrize(
  'fields, views, films, kinds',
  [
    (IU, 2, ['a/1.png', 'a/0.png'], ['frontal', 'lateral']),
    (IU, 1, ['a/1.png'], ['frontal']),
    # Of another length, what the views are of nobody knows.
    (
      {**IU, 'frontal_lateral': ['Frontal', 'Lateral', 'Lateral']},
      2,
      ['a/1.png', 'a/0.png'],
      [None, None],
    ),
    # MIMIC-CXR's lead to the root of the disk.
    ({'image_path': ['/p10/s1/x.jpg']}, 2, ['p10/s1/x.jpg'], [None]),
    (
      {'key_image_path': math.nan, 'image_path': 'b.png'},
      2,
      ['b.png'],
      [None],
    ),
  ],
)
def test_the_films_of_a_study(fields, views, films, kinds):
  assert inference.study_of('x', fields, ROOT, views) == FilmStudy(
    'x', tuple(f'films/{film}' for film in films), tuple(kinds)
  )


def test_a_study_without_films_has_a_fault():
  assert inference.study_of('x', {}, ROOT, 2).fault == 'it names no film'


@pytest.mark.parametrize(
  ('named', 'says'),
  [
    (math.nan, 'it names no film'),
    (7, 'it names no film'),
    (['a.png', math.nan], 'its image_path holds nan: expected paths'),
    ([['a.png']], r"its image_path holds \['a.png'\]: expected paths"),
  ],
)
def test_what_is_no_path_is_its_studys_fault(named, says):
  fields = {'image_path': named, 'frontal_lateral': ['Frontal']}
  assert re.match(says, inference.study_of('x', fields, ROOT, 2).fault)


def test_studies_without_a_report_are_tried_again(tmp_path):
  Image.new('L', (9, 9)).save(tmp_path / 'a.png')
  # Half a pair of UTF-16, as a text that was cut has it.
  given = json.loads('{"s": {"image_path": "a.png", "note": "\\ud83d"}}')
  writer, out = FakeWriter(), tmp_path / 'p.json'
  (fault,) = inference.predict(writer, given, out, tmp_path / 'none')
  assert 'no such file' in fault
  assert json.loads(out.read_text('utf-8'))['s']['model_prediction'] == '.'
  for _ in range(2):
    assert not inference.predict(writer, given, out, tmp_path)
  assert writer.sizes == [1]
  assert json.loads(out.read_text('utf-8'))['s'] == {
    **given['s'],
    'model_prediction': 'The heart is big',
  }


def test_where_nothing_can_be_written_no_study_is_read(tmp_path):
  Image.new('L', (9, 9)).save(tmp_path / 'a.png')
  given, writer = {'s': {'image_path': 'a.png'}}, FakeWriter()
  with pytest.raises(UserError, match=r'p\.json: there is no folder'):
    inference.predict(writer, given, tmp_path / 'none' / 'p.json', tmp_path)
  assert not writer.sizes


def test_the_contract(runs, tmp_path, capsys):
  names = sorted(path.name for path in (runs.root / 'data/images').iterdir())
  given = {
    name: {
      'key_image_path': f'/{name}/1.png',
      'image_path': [f'/{name}/0.png', f'/{name}/1.png'],
      'frontal_lateral': ['Frontal', 'Lateral'],
      'section_impression': math.nan,
      'subject_id': 7,
      'context': 'Indication: Größe.',
    }
    for name in names[:3]
  }
  given['bad'] = {**given[names[0]], 'image_path': ['no.png']}
  given['bad']['key_image_path'] = 'no.png'
  source, out = tmp_path / 'in.json', tmp_path / 'out.json'
  source.write_text(json.dumps(given))
  kept = {**given[names[1]], 'model_prediction': 'As it was.'}
  out.write_text(json.dumps({names[1]: kept}))
  export.main([str(runs.report), '--to=hub', f'--out={tmp_path / "weights"}'])
  flags = [
    f'--input_json_file={source}',
    f'--save_json_file={out}',
    f'--img_root_dir={runs.root / "data/images"}',
    f'--checkpoint={tmp_path / "weights"}',
  ]
  inference.main(flags)
  said = capsys.readouterr()
  assert '4 studies in' in said.out and "the report '.':\n  bad: " in said.err
  text = out.read_text()
  assert text.count('NaN') == 4 and 'Größe' in text
  found = json.loads(text)
  assert list(found) == list(given)
  assert found[names[1]]['model_prediction'] == 'As it was.'
  assert found['bad']['model_prediction'] == '.'
  for name in given:
    assert list(found[name]) == [*given[name], 'model_prediction']
  films = [runs.root / 'data/images' / names[0] / f'{n}.png' for n in (0, 1)]
  words = Reporter.load(runs.report).report(films).text.split()
  assert found[names[0]]['model_prediction'].lower().split() == re.sub(
    r'\s+([.,;:])', r'\1', ' '.join(words)
  ).split()  # fmt: skip
  inference.main(flags)  # Nothing is left to do.
  assert out.read_text() == text


@pytest.mark.parametrize('text', ['[1]', '{"a": 1}', '{', ''])
def test_another_layout_is_one_sentence(tmp_path, text):
  (tmp_path / 'in.json').write_text(text)
  with pytest.raises(UserError, match=r'in\.json (is of|cannot be)'):
    inference.read_studies(tmp_path / 'in.json')


def test_the_environment_is_that_of_the_requirements():
  root = Path(inference.__file__).parent
  *_, pip = yaml.safe_load((root / 'environment.yaml').read_text())[
    'dependencies'
  ]
  assert pip == {'pip': ['-r requirements.txt']}
  assert (root / 'requirements.txt').is_file()
