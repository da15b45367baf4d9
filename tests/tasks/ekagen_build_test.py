"""What the builder of EKAGen refuses before its first step."""

import pytest

from cmn_jax.ekagen_build import Plan, build
from configs import phantom
from input_pipeline.errors import UserError


def test_the_builder_names_what_it_cannot_read(tmp_path):
  with pytest.raises(UserError, match='--config=FILE'):
    Plan([], tmp_path, 0)
  with pytest.raises(UserError, match='--rounds is 0'):
    build([], str(tmp_path), rounds=0)


@pytest.mark.parametrize(
  'config, says',
  [
    ('configs/none.py', 'No such file'),
    (f'{phantom.__file__}:none', "no variant 'none'"),
    (f'{phantom.__file__}:cmn', 'the variant cmn, which is no student'),
    (f'{phantom.__file__}:ekagen_teacher', 'ekagen_teacher, which is no st'),
  ],
)
def test_a_config_that_is_not_there_is_one_sentence(tmp_path, config, says):
  with pytest.raises(UserError, match=says) as error:
    build([f'--config={config}'], str(tmp_path))
  assert '\n' not in str(error.value) and 'ValueError' not in str(error.value)


def test_each_captioner_starts_from_a_classifier_with_its_encoder(tmp_path):
  plan = Plan([f'--config={phantom.__file__}:ekagen_vitb16'], tmp_path, 0)
  diagnosis = {'model.pretrained': str(tmp_path / 'diagnosis')}
  # The teachers are ResNets, as the classifier is, and the student is a ViT.
  assert plan.start('first_teacher') == plan.start('teacher') == diagnosis
  assert plan.start('student') == {}
