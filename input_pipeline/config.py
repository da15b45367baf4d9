"""What `config.data` holds: which studies, which of their images, which words.

Importing this loads no TensorFlow.
"""

import dataclasses

from input_pipeline.errors import UserError, check_least
from input_pipeline.tokenizers import CLEANERS, EKAGEN, PIECE_KINDS

# The sections of a report that make the text to be written.
SECTIONS = {
  'findings': ('findings',),
  'findings+impression': ('findings', 'impression'),
}
# Which films stand for a study: the first ones that it lists, the same with
# frontal ones before the others, its first frontal and its first lateral one,
# or frontal ones only.
VIEW_RULES = ('first', 'frontal_first', 'frontal_lateral', 'frontal')
CHOICES = {
  'clean': tuple(CLEANERS),
  'sections': tuple(SECTIONS),
  'view_rule': VIEW_RULES,
  'tokenizer': ('words', EKAGEN, *PIECE_KINDS),
}
_AT_LEAST = {
  'phantom_studies': 0,
  'phantom_seed': 0,
  'views': 1,
  'min_films': 1,
  'image_size': 1,
  'max_length': 3,
  'reference_length': 3,
  'min_count': 1,
  'pieces': 0,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Augmentation:
  """What is done to training images.

  Attributes:
    crop: a random part of each image; else the whole image, resized.
    crop_margin: 0 crops a square of the model's size at any place, as R2Gen
      does. Above, each edge loses at most this share of the image, so that the
      lungs stay, and the rest is resized.
    flip: mirrors each image with even chance, and leaves the words alone.
    flip_with_text: mirrors all images of a study with even chance, and swaps
      the sides in its report.
    rotate: degrees, at most, either way.
    brightness: share of the grey scale that is added, at most, either way.
    contrast: share by which differences grow or shrink, at most.

  Raises:
    UserError: a value out of range, or two that contradict each other.
  """

  crop: bool = False
  crop_margin: float = 0.0
  flip: bool = False
  flip_with_text: bool = False
  rotate: float = 0.0
  brightness: float = 0.0
  contrast: float = 0.0

  def __post_init__(self):
    bounds = {'crop_margin': 0.5, 'rotate': 45, 'brightness': 1, 'contrast': 1}
    for name, bound in bounds.items():
      if not 0 <= getattr(self, name) < bound:
        raise UserError(
          f'data.{name} is {getattr(self, name)}; expected 0 or more, and less '
          f'than {bound}.'
        )
    if self.crop_margin and not self.crop:
      raise UserError(
        f'data.crop_margin is {self.crop_margin}, but data.crop is off: set '
        f'data.crop=True or data.crop_margin=0.'
      )
    if self.flip and self.flip_with_text:
      raise UserError(
        'data.flip and data.flip_with_text are both on: the first leaves the '
        'words of a mirrored image alone, the second swaps them; choose one.'
      )


@dataclasses.dataclass(frozen=True)
class DataConfig(Augmentation):
  """The fields of `config.data`; the defaults are R2Gen's for IU X-Ray.

  Attributes:
    dir: a folder of any layout, or one that `prepare` has written.
    phantom_studies: draw a phantom of so many studies into `dir` if there is
      nothing yet; 0 never does.
    phantom_seed: of the phantom.
    phantom_size: side of the phantom's films, in pixels.
    cache_dir: where resized films, and those out of archives, are cached.
    stream: read films from their files each time, and prepare nothing.
    synthetic: read no films, and show made-up ones in their place.
    views: films of each study that are used.
    image_size: side of the square images in a batch, in pixels.
    stored_size: short side of stored train films, which crops are cut of.
    max_length: tokens of a report, the 0 at both ends counted.
    min_count: how often a word must appear in the train reports.
    clean: text cleaning, a key of `CLEANERS`.
    sections: of the report, that make the text; a key of `SECTIONS`.
    view_rule: which films are used, one of `VIEW_RULES`.
    min_films: studies that list fewer films are left out.
    split_from: an annotation.json whose split is taken; '' for the layout's
      own split, or 'hash-v1' where it has none.
    tokenizer: 'words'; 'ekagen', which knows no numbers and begins and ends a
      report with ids of their own; or the kind of SentencePiece, 'unigram' or
      'bpe'.
    pieces: how many pieces; 0 for words.
    reference_length: words (the 0 at both ends counted) to which references
      are cut: scores compare only where it is equal.
    skip_bad: continue without bad studies instead of raising `DataError`; with
      `stream`, those of train alone, which are masked.
    crop: see `Augmentation`, as for its other fields.

  Raises:
    UserError: a value that cannot be, with its field as `data.FIELD`.
  """

  dir: str
  phantom_studies: int = 0
  phantom_seed: int = 1
  phantom_size: int = 256
  cache_dir: str = '~/.cache/cmn_jax'
  stream: bool = False
  synthetic: bool = False
  views: int = 2
  image_size: int = 224
  stored_size: int = 256
  max_length: int = 60
  min_count: int = 3
  clean: str = 'iu_xray'
  sections: str = 'findings'
  view_rule: str = 'first'
  min_films: int = 2
  split_from: str = ''
  tokenizer: str = 'words'
  pieces: int = 0
  reference_length: int = 60
  skip_bad: bool = False
  crop: bool = dataclasses.field(default=True, kw_only=True)

  def __post_init__(self):
    super().__post_init__()
    for name, known in CHOICES.items():
      if getattr(self, name) not in known:
        raise UserError(
          f'data.{name} is {getattr(self, name)!r}; expected one of '
          f'{", ".join(known)}.'
        )
    for name, least in _AT_LEAST.items():
      check_least(f'data.{name}', getattr(self, name), least)
    if self.view_rule == 'frontal_lateral' and self.views != 2:
      raise UserError(
        f"data.view_rule 'frontal_lateral' takes 2 films, but data.views is "
        f'{self.views}.'
      )
    if self.stored_size < self.image_size:
      raise UserError(
        f'data.stored_size {self.stored_size} is smaller than data.image_size '
        f'{self.image_size}: no crop of that size can be cut.'
      )
    if (self.tokenizer in PIECE_KINDS) != (self.pieces > 0):
      raise UserError(
        f'data.tokenizer {self.tokenizer!r} does not go with data.pieces '
        f'{self.pieces}: words have 0, the others as many as the vocabulary '
        f'is to hold.'
      )

  @property
  def augmentation(self) -> Augmentation:
    """What is done to training images."""
    fields = dataclasses.fields(Augmentation)
    return Augmentation(**{f.name: getattr(self, f.name) for f in fields})

  @property
  def sizes(self) -> dict[str, int]:
    """What stored films depend on: their number, and sides in pixels."""
    return {
      'views': self.views,
      'stored_size': self.stored_size,
      'image_size': self.image_size,
    }

  @property
  def selection(self) -> dict[str, str | int]:
    """What the choice of studies, films and texts depends on."""
    names = 'sections', 'views', 'view_rule', 'min_films', 'split_from'
    return {name: getattr(self, name) for name in names}
