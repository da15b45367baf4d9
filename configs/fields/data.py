"""What is read: studies, films, words, and how films are varied."""


def data() -> dict:
  """What is read, and how films and reports become arrays."""
  return {
    # IU X-Ray or MIMIC-CXR in any layout that input_pipeline.prepare
    # knows, such as annotation.json and images/ (R2Gen's).
    'dir': 'data/iu_xray',
    # Draw a phantom of so many studies into `dir` if it does not exist; 0
    # never does. Its seed, and the side of its films in pixels.
    'phantom_studies': 0,
    'phantom_seed': 1,
    'phantom_size': 256,
    # Resized films are kept here after the first use.
    'cache_dir': '~/.cache/cmn_jax',
    # Read, decode and resize the films each time instead: slower, but
    # nothing is prepared or kept. The batches are the same.
    'stream': False,
    # Train on one batch of made-up films of the same shapes, no film read, to
    # see whether a run waits for its input or its arithmetic. Its steps are
    # timed; nothing is validated, evaluated or saved.
    'synthetic': False,
    # Films per study that the model sees.
    'views': 2,
    # Pixels of a film as the model sees it.
    'image_size': 224,
    # Short side of stored training films, from which crops are taken.
    'stored_size': 256,
    # Tokens of a report, the zeros at both ends included.
    'max_length': 60,
    # Words seen less often in the training reports become <unk>.
    'min_count': 3,
    # How reports are cleaned: 'iu_xray' or 'mimic_cxr'.
    'clean': 'iu_xray',
    # Report sections: 'findings' or 'findings+impression' (the R2Gen
    # layout has but one text and takes no choice).
    'sections': 'findings',
    # Which films of a study: 'first', 'frontal_first' (the same, frontal ones
    # before the others), 'frontal_lateral' or 'frontal'.
    'view_rule': 'first',
    # Studies with fewer films are left out (R2Gen's rule is 2). With 1,
    # a film that a study does not have is masked.
    'min_films': 2,
    # An annotation.json whose split is taken; '' for the data's own.
    'split_from': '',
    # 'words' as R2Gen has them; 'ekagen': the same as EKAGen numbers them; or
    # SentencePiece learnt from the training reports: 'unigram' or 'bpe', with
    # so many pieces (0 with words).
    'tokenizer': 'words',
    'pieces': 0,
    # Words to which references are cut, the zeros counted: scores compare
    # only where it is the same, whatever the tokenizer.
    'reference_length': 60,
    # Go on without studies whose films are missing or unreadable (with
    # stream, unreadable ones of the training split alone).
    'skip_bad': False,
    # Random crops of training films.
    'crop': True,
    # 0: a crop is a square of image_size at any place, as the authors
    # have it. Above: each edge loses at most this share of the film, so
    # that the lungs stay.
    'crop_margin': 0.0,
    # Random left-right flips of each film. The authors flip; the report's
    # left and right stay as they are, so we do not.
    'flip': False,
    # Random flips of whole studies, left and right swapped in the report.
    'flip_with_text': False,
    # Random rotations by at most so many degrees, either way.
    'rotate': 0.0,
    # At most this share of the grey scale added or taken away.
    'brightness': 0.0,
    # Differences of grey times 1 - this to 1 + this.
    'contrast': 0.0,
  }
