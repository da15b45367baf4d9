"""EKAGen's section of a config, its recipe, and how the builders go on."""

# How a captioner trains, in all configs: as published.
RECIPE = {
  'seed': 42,
  # One film of a study, not cropped; four turns of it, see `section`.
  'data.views': 1,
  'data.image_size': 300,
  'data.stored_size': 300,
  'data.crop': False,
  'data.tokenizer': 'ekagen',
  # Up to 128 ids are predicted.
  'data.max_length': 129,
  'data.reference_length': 129,
  'model.width': 256,
  'model.heads': 8,
  'model.hidden': 2048,
  'model.layers': 6,
  'model.patch_dropout': 0.0,
  'optim.visual_rate': 1e-5,
  'optim.rate': 1e-4,
  'optim.schedule': 'step',
  'optim.step_epochs': 20,
  'optim.gamma': 0.1,
  'optim.warmup_steps': 0,
  'optim.b2': 0.999,
  'optim.epsilon': 1e-8,
  'optim.weight_decay': 1e-4,
  'optim.decoupled': True,
  'optim.amsgrad': False,
  'optim.clip_norm': 0.1,
  'train.batch_size': 8,
  'train.epochs': 50,
  'train.findings_weight': 0.0,
  'decode.method': 'greedy',
}
# What makes a variant: films that divide into 19 x 19 patches; see models/vit.
VIT = {
  'model.encoder': 'vit_b16',
  'data.image_size': 304,
  'data.stored_size': 304,
}
VARIANTS = {
  # Without knowledge or a teacher of its own. Of the first one the words'
  # embedding alone is used, for the knowledge: it need not be as good.
  'ekagen_first_teacher': ('ekagen', {'train.epochs': 10}),
  'ekagen_teacher': ('ekagen', {}),
  # Table 1's rows, by their encoders.
  'ekagen_rn101': ('ekagen', {}),
  'ekagen_vitb16': ('ekagen', VIT),
}
STUDENT = 'ekagen_rn101'
# Steps of `python -m cmn_jax.ekagen build` by the name that changes a field of
# theirs, and their variants.
STEPS = {
  'diagnosis': 'ekagen_diagnosis',
  'locator': 'ekagen_locator',
  'first_teacher': 'ekagen_first_teacher',
  'teacher': 'ekagen_teacher',
  'student': STUDENT,
}


def section() -> dict:
  """Of the task ekagen; the fields of `EkagenConfig`."""
  return {
    # All switches from student_films on as the authors' code has them.
    'compat': False,
    # Workdir of a trained captioner that sees whole films; '' for none.
    'teacher': '',
    # Folder of `python -m cmn_jax.ekagen knowledge`; '' leaves the fusion out.
    'knowledge': '',
    # Workdir of a trained locator, whose masks dim films; '' for none.
    'locator': '',
    # Folder of `python -m cmn_jax.ekagen masks`, read in place of asking the
    # locator; '' asks it. New films have a mask by the locator alone.
    'masks': '',
    # Of the visual encoder, what is not trained: 'none'; 'stem', as published:
    # a ResNet's stem, first stage and norms; 'all'.
    'frozen': 'stem',
    # A ResNet's last stage keeps its map's size.
    'dilated': True,
    # Width of the perceptron that chooses words.
    'word_hidden': 512,
    # Of the distance to the teacher's words, which counts studies, not words.
    'kd_weight': 0.01,
    'temperature': 4.0,
    # What student and teacher see in training, 'plain' or 'masked' films. An
    # evaluation shows masked ones, as theirs does.
    'student_films': 'masked',
    'teacher_films': 'plain',
    # Teacher and student see one draw of a film, or each its own.
    'same_draw': True,
    # Whether what follows the end of a report is learned too.
    'loss_on_pads': False,
    # Training films turned by 0, 90, 180 or 270 degrees.
    'quarter_turns': False,
    # Left and right exchanged in half of the films, and not in words.
    'flip': False,
    # Brightness and contrast changed at random.
    'light': True,
    # Writing goes on behind an end without it.
    'stop_at_end': True,
    # Ids of a report at most, the one that ends it counted.
    'max_words': 127,
    # What of a locator's map is inside a mask: 'jet' or 'threshold', where it
    # is above mask_threshold.
    'mask_rule': 'threshold',
    'mask_threshold': 0.25,
    # A mask that covers no more of the film than this is not used.
    'mask_min_cover': 0.0,
    # Whether No Finding has a place as well.
    'mask_no_finding': False,
    # Words also look at all of the knowledge, as they do at films. Published is
    # a fusion alone, which gives word t the knowledge's word t.
    'attend_knowledge': False,
    # Films' tokens hold their places, so that words can tell left from right.
    # Published adds places to queries and keys alone.
    'placed_tokens': False,
  }
