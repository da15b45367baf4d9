"""What is said of films that are not there."""

import os
import unicodedata

from input_pipeline import study


def test_names_that_are_nearly_the_same_are_told(tmp_path):
  (tmp_path / 'a.PNG').touch()
  assert study.absence(f'{tmp_path}/A.jpg').endswith('A.jpg (there is a.PNG)')
  assert study.absence(f'{tmp_path}/b.jpg').endswith('b.jpg')


def test_a_macs_name_with_an_accent_is_told(tmp_path):
  name = 'M\xfcller.png'
  (tmp_path / unicodedata.normalize('NFD', name)).touch()
  said = study.absence(f'{tmp_path}/{name}')
  assert said.endswith(f"{name} (there is 'Mu\\u0308ller.png')")


def test_a_folder_is_read_once_for_all_that_it_lacks(tmp_path, monkeypatch):
  """And its names are looked up: this took the square of their number."""
  for n in range(3):
    (tmp_path / f'{n}.png').touch()
  listed, folded = [], []
  listdir, stem = os.listdir, study._stem
  monkeypatch.setattr(os, 'listdir', lambda f: listed.append(f) or listdir(f))
  monkeypatch.setattr(study, '_stem', lambda n: folded.append(n) or stem(n))
  for n in range(100):
    study.absence(f'{tmp_path}/{n}.jpg')
  assert len(listed) == 1 and len(folded) == 100 + 3
