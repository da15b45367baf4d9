"""What says the same of all films, for tests of what stands around a model."""

import types

import numpy as np
from ml_collections import ConfigDict

from cmn_jax.report import Report, Writer

SAYS = 'the heart is big'


class FakeWriter(Writer):
  """Two views of 32 pixels; `sizes` has how many studies each call had."""

  classifier, tokenizer = None, types.SimpleNamespace(vocab_size=5)

  def __init__(self, view_rule='first'):
    data = {'views': 2, 'image_size': 32, 'view_rule': view_rule}
    model, evaluation = {'encoder': 'none'}, {'batch_size': 2}
    self.config = ConfigDict(
      {'name': 'fake', 'model': model, 'data': data, 'eval': evaluation}
    )
    self.loaded = types.SimpleNamespace(
      task='report',
      config=self.config,
      fingerprint='fake',
      looks=lambda images: None,
      meta={'history': [], 'dataset': 'none'},
    )
    self.sizes = []

  def reports(self, batch, beam_size=None, attention=True):
    """See `Writer.reports`."""
    self.sizes.append(int(batch['mask_B'].sum()))
    return [
      Report(SAYS, SAYS.split(), [], np.zeros((4, sum(mask_I), 4, 4)), [])
      for mask_I in batch['mask_BxI']
    ]
