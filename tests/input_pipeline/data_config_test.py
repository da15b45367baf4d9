"""What config.data may be; each field that is wrong is named."""

import pytest

from configs import iu_xray
from input_pipeline.config import Augmentation, DataConfig
from input_pipeline.errors import UserError


def test_the_defaults_are_the_config_of_iu_xray():
  fields = iu_xray.get_config().data.to_dict()
  assert fields.keys() == vars(DataConfig('')).keys()
  assert DataConfig(**fields) == DataConfig(fields['dir'])


def test_augmentation_has_its_part_of_the_fields():
  config = DataConfig('', crop_margin=0.1, rotate=5.0)
  assert config.augmentation == Augmentation(
    crop=True, crop_margin=0.1, rotate=5.0
  )


@pytest.mark.parametrize(
  'change, says',
  [
    ({'sections': 'impression'}, "data.sections is 'impression'; expected one"),
    ({'view_rule': 'lateral'}, "data.view_rule is 'lateral'"),
    ({'clean': 'iu'}, "data.clean is 'iu'; expected one of iu_xray, mimic_cxr"),
    ({'tokenizer': 'char'}, "data.tokenizer is 'char'"),
    ({'views': 0}, 'data.views is 0; expected 1 or more'),
    ({'min_films': 0}, 'data.min_films is 0'),
    ({'view_rule': 'frontal_lateral', 'views': 1}, 'but data.views is 1'),
    ({'stored_size': 200}, 'data.stored_size 200 is smaller than'),
    ({'pieces': 30}, "'words' does not go with data.pieces 30"),
    ({'tokenizer': 'bpe'}, "'bpe' does not go with data.pieces 0"),
    ({'rotate': 45.0}, 'data.rotate is 45.0; expected 0 or more, and less'),
    ({'contrast': -0.1}, 'data.contrast is -0.1'),
    ({'brightness': 1.0}, 'data.brightness is 1.0'),
    ({'crop_margin': 0.5}, 'data.crop_margin is 0.5'),
    ({'crop': False, 'crop_margin': 0.1}, 'but data.crop is off'),
    ({'flip': True, 'flip_with_text': True}, 'choose one'),
  ],
)
def test_wrong_values_are_named(change, says):
  with pytest.raises(UserError, match=says):
    DataConfig('', **change)
