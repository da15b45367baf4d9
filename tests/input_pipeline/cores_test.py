import os

from input_pipeline.cores import cores


def test_where_a_system_does_not_say_which_are_ours(monkeypatch):
  monkeypatch.setattr(os, 'sched_getaffinity', lambda _: {2, 5}, raising=False)
  assert cores() == 2
  monkeypatch.delattr(os, 'sched_getaffinity')
  monkeypatch.setattr(os, 'cpu_count', lambda: 3)
  assert cores() == 3
  monkeypatch.setattr(os, 'cpu_count', lambda: None)
  assert cores() == 1
