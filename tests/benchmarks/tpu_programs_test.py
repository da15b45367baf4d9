"""The programs of `make tpu-check`, traced for a CPU: libtpu is not here."""

import jax
import pytest

from benchmarks.tpu import ekagen, programs
from benchmarks.tpu.ekagen import EkagenSubject
from benchmarks.tpu.programs import Subject
from cmn_jax.training.parallel import Parallel
from configs import phantom
from tests.made import small

WORDS = 40
FIELDS = {
  'data.image_size': 32,
  'data.max_length': 12,
  'model.encoder_width': 4,
  'model.width': 16,
  'model.heads': 2,
  'model.hidden': 16,
  'model.layers': 1,
  'decode.beam_size': 2,
}


@pytest.mark.parametrize(
  'variant, kind, names',
  [
    ('cmn', Subject, {'train_step', 'write_reports'}),
    (
      'ekagen_rn101',
      EkagenSubject,
      {'train_step', 'write_reports', 'train_step_without_teacher'},
    ),
  ],
)
def test_every_program_is_traced(monkeypatch, variant, kind, names):
  def trace(mapped, state, batch):
    return mapped.lower(state, batch)

  for module in (programs, ekagen):
    monkeypatch.setattr(module, 'compile_for', trace)
  config = phantom.get_config(variant)
  config.update_from_flattened_dict(
    {**FIELDS, 'model.encoder': small.add_tiny_encoder()}
  )
  subject = kind(config, Parallel('shard_map', jax.devices()[:1]), WORDS)
  built = subject.programs()
  assert built.keys() == names
  operands = {
    name: len(jax.tree.leaves(build(2).args_info))
    for name, build in built.items()
  }
  if kind is EkagenSubject:
    alone = operands['train_step_without_teacher']
    assert alone < operands['train_step']


def test_the_largest_batch_is_of_parts_alike():
  """Shares that a step's parts do not divide are never tried."""

  class Step:
    def train_step(self, studies):
      assert studies % 12 == 0
      if studies > 12 * 10:
        raise programs.OutOfMemory('too large')

  assert 9 <= programs.largest_batch(Step(), 12, 4, print) <= 10
