"""What several processes must be told, and what they cannot do."""

import jax
import pytest

from cmn_jax.training import distributed


@pytest.mark.parametrize(
  'arguments, says',
  [
    (('10.0.0.1:8476', 2, None), 'belong together'),
    (('10.0.0.1', 2, 0), 'expected HOST:PORT'),
    (('10.0.0.1:8476', 2, 2), 'expected 0 to 1'),
  ],
)
def test_where_the_processes_are_must_be_said_whole(arguments, says):
  with pytest.raises(ValueError, match=says):
    distributed.start(*arguments)


def test_a_classifier_trains_in_one_process(monkeypatch):
  distributed.alone()
  monkeypatch.setattr(jax, 'process_count', lambda: 2)
  with pytest.raises(ValueError, match='one process, not in 2'):
    distributed.alone()
