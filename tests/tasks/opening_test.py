"""What is refused before films are prepared, which may take hours."""

import pytest

from cmn_jax import opening
from configs import iu_xray_cpu, mimic_cxr
from input_pipeline.errors import UserError


class _PreparedError(Exception):
  pass


def _prepare(_):
  raise _PreparedError


@pytest.mark.parametrize(
  'variant, field, value',
  [
    ('proposed', 'alignment.form', 'infonce2'),
    ('classifier', 'classifier.inputs', 'image+generatd'),
    ('ekagen_diagnosis', 'classifier.inputs', 'image+generatd'),
    ('consensus', 'consensus.l2', -1.0),
    ('cmn', 'decode.beam_size', 0),
    ('ekagen_rn101', 'ekagen.mask_rule', 'jett'),
    ('ekagen_rn101', 'decode.beam_size', 0),
    ('base', 'optim.schedule', 'cosin'),
  ],
)
def test_a_wrong_value_is_refused_before_the_films(
  monkeypatch, variant, field, value
):
  monkeypatch.setattr(opening, 'open_data', _prepare)
  config = mimic_cxr.get_config(variant)
  config.update_from_flattened_dict({field: value})
  with pytest.raises(UserError, match=field):
    opening.open_task(config)


@pytest.mark.parametrize('variant', iu_xray_cpu.VARIANTS)
def test_each_variant_comes_to_its_films(monkeypatch, variant):
  monkeypatch.setattr(opening, 'open_data', _prepare)
  with pytest.raises(_PreparedError):
    opening.open_task(iu_xray_cpu.get_config(variant))
