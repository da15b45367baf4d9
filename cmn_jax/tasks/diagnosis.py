"""What a classifier of films says of them: classes, and masks of attention.

For tasks that read a trained task 'diagnose' as a part of theirs, and for
commands. Class axes G are in the order of `FilmReader.classes`.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from cmn_jax.loaded import Loaded
from cmn_jax.models.attention_masks import class_masks
from cmn_jax.models.config import DTYPES
from cmn_jax.models.ekagen_names import PEAK_SHARE, THRESHOLD
from cmn_jax.models.film_classifier import FilmClassifier, first_films
from cmn_jax.models.images import as_pixels
from cmn_jax.tasks import precomputed
from cmn_jax.tasks.labelled_studies import check_classes
from cmn_jax.training.checkpoints import CheckpointError
from input_pipeline.findings import NO_FINDING
from input_pipeline.labels import fold_of

TASK = 'diagnose'


@dataclasses.dataclass(frozen=True)
class FilmReader:
  """A trained classifier as pure functions of its variables and of films.

  Films are grey uint8 (B, H, W), as `first_films` of a batch, of any size;
  they are resized to what the classifier was trained with.

  Attributes:
    classes: names, in the order of G.
    thresholds_G: probabilities above which a class is said.
    size: side of the films that it reads, in pixels.
    network: of one device.
  """

  classes: tuple[str, ...]
  thresholds_G: tuple[float, ...]
  size: int
  network: FilmClassifier

  @classmethod
  def of(
    cls, meta: Mapping[str, Any], origin: str = 'the classifier'
  ) -> 'FilmReader':
    """Of a checkpoint's meta, which another checkpoint may keep.

    Args:
      meta: of the checkpoint.
      origin: what messages call it.

    Raises:
      CheckpointError: it is not of the task 'diagnose', or not validated.
    """
    if meta.get('task') != TASK:
      raise CheckpointError(
        f'a classifier of films is wanted, and this is what the task '
        f'{meta.get("task")!r} trained: name a run of the variant '
        'ekagen_diagnosis or ekagen_locator'
      )
    about, c = meta['diagnosis'], meta['config']
    if about['thresholds'] is None:
      raise CheckpointError(
        f'{origin} was saved between validations and has no thresholds: name '
        'a validated step, or the workdir, of which the best one is taken'
      )
    network = FilmClassifier(
      c['model']['encoder'],
      c['model']['encoder_width'],
      len(about['classes']),
      about['shift_last_stage'],
      dtype=DTYPES[c['model']['dtype']],
    )
    return cls(
      tuple(about['classes']),
      tuple(about['thresholds']),
      c['data']['image_size'],
      network,
    )

  def probabilities(self, variables, films_BxHxW) -> jax.Array:
    """Of each class, (B, G) float32."""
    return jax.nn.sigmoid(self._maps_and_logits(variables, films_BxHxW)[1])

  def labels(self, variables, films_BxHxW) -> jax.Array:
    """Which classes are said, (B, G) bool."""
    return self.decide(self.probabilities(variables, films_BxHxW))

  def decide(self, probability_BxG):
    """Which classes these probabilities say, (B, G) bool."""
    return probability_BxG > np.asarray(self.thresholds_G, np.float32)

  def class_masks(
    self,
    variables,
    films_BxHxW,
    rule: str = THRESHOLD,
    threshold: float = PEAK_SHARE,
    no_finding: bool = False,
  ) -> jax.Array:
    """Each class's own mask, (B, G, H, W) bool; nothing where it is not said.

    Args:
      variables: of the classifier.
      films_BxHxW: plain ones, before any augmentation.
      rule: 'threshold', or 'jet' as EKAGen's authors have it.
      threshold: of that rule.
      no_finding: whether No Finding has a mask too, as theirs.
    """
    maps, logits_BxG = self._maps_and_logits(variables, films_BxHxW)
    skipped = [] if no_finding else [NO_FINDING]
    return class_masks(
      maps[:, 0].astype(jnp.float32),
      logits_BxG,
      variables['params']['head']['kernel'],
      self.thresholds_G,
      films_BxHxW.shape[1:],
      rule,
      threshold,
      [n for n, name in enumerate(self.classes) if name in skipped],
    )

  def masks(self, variables, films_BxHxW, *options, **named) -> jax.Array:
    """All classes' masks joined, (B, H, W) bool; arguments as above."""
    masks = self.class_masks(variables, films_BxHxW, *options, **named)
    return jnp.any(masks, axis=1)

  def _maps_and_logits(self, variables, films_BxHxW):
    films = at_size(films_BxHxW, self.size)
    real_B = jnp.ones(len(films), bool)
    return self.network.apply(
      variables, as_pixels(films[:, None]), real_B, method='maps_and_logits'
    )


def at_size(films_BxHxW, size: int) -> jax.Array:
  """Grey uint8 films at another size, antialiased, as Pillow but for rounding.

  Args:
    films_BxHxW: uint8.
    size: side in pixels.
  """
  if films_BxHxW.shape[1:] == (size, size):
    return films_BxHxW
  shape = (len(films_BxHxW), size, size)
  films = jax.image.resize(films_BxHxW.astype(jnp.float32), shape, 'linear')
  return jnp.round(films).astype(jnp.uint8)


def film_labels(
  diagnosis: Loaded,
  config: ConfigDict,
  data,
  split: str,
  folds: Sequence[Loaded] = (),
) -> np.ndarray:
  """Which classes are said of each study's first film, (S, G) bool.

  Computed once for a data set and kept in data.cache_dir.

  Args:
    diagnosis: of the task 'diagnose'.
    config: the asking task's; its data, eval.batch_size and train.parallel.
    data: `input_pipeline.data.Data`, films of any size.
    split: of the data.
    folds: classifiers trained with classifier.fold '1/K' to 'K/K'; then each
      training study is read by the one that has not seen it.

  Raises:
    CheckpointError: of another task, or folds that do not fit.
  """
  reader = FilmReader.of(diagnosis.meta, diagnosis.origin)
  if not folds or split != 'train':
    return reader.decide(film_probabilities(diagnosis, config, data, split))
  fold_S = fold_of(data.studies[split], len(folds))
  said_SxG = np.zeros((len(fold_S), len(reader.classes)), bool)
  for number, loaded in enumerate(folds):
    other = FilmReader.of(loaded.meta, loaded.origin)
    fold = f'{number + 1}/{len(folds)}'
    if loaded.config.classifier.fold != fold:
      raise CheckpointError(
        f'{loaded.origin} was trained with classifier.fold '
        f'{loaded.config.classifier.fold!r} and stands where {fold!r} is '
        'wanted: name the classifiers of all folds, in order'
      )
    check_classes(other.classes, reader.classes, loaded.origin)
    said = other.decide(film_probabilities(loaded, config, data, split))
    said_SxG[fold_S == number] = said[fold_S == number]
  return said_SxG


def film_probabilities(
  diagnosis: Loaded, config: ConfigDict, data, split: str
) -> np.ndarray:
  """Of each class on each study's first film, (S, G); see `film_labels`."""
  reader = FilmReader.of(diagnosis.meta, diagnosis.origin)

  def probability(variables, batch):
    films = first_films(batch['images_BxIxHxW'], batch['mask_BxI'])
    return {'probability': reader.probabilities(variables, films)}

  return precomputed.of_images(
    config,
    data,
    split,
    'diagnoses',
    [diagnosis.fingerprint, reader.size, reader.network.shift_last_stage],
    diagnosis.variables,
    probability,
  )['probability']


def packed_masks(
  locator: Loaded, config: ConfigDict, data, split: str, *options
) -> dict[str, np.ndarray]:
  """Masks of each study's first film, at data.image_size, eight pixels a byte.

  From plain films. Computed once for a data set and kept in data.cache_dir.

  Args:
    locator: of the task 'diagnose'.
    config: the asking task's; its data, eval.batch_size and train.parallel.
    data: `input_pipeline.data.Data`.
    split: of the data.
    *options: rule, threshold and no_finding of `FilmReader.class_masks`.

  Returns:
    packed, (S, H, ceil(W / 8)) uint8, see `ekagen_films.unpacked`; cover,
    (S, G) float32, the share of the film that each class's own mask covers;
    said, (S, G).
  """
  reader = FilmReader.of(locator.meta, locator.origin)

  def masks(variables, batch):
    films = first_films(batch['images_BxIxHxW'], batch['mask_BxI'])
    masks = reader.class_masks(variables, films, *options)
    return {
      'packed': jnp.packbits(jnp.any(masks, axis=1), axis=-1),
      'cover': jnp.mean(masks, axis=(2, 3)),
      'said': reader.labels(variables, films),
    }

  return precomputed.of_images(
    config,
    data,
    split,
    'masks',
    [locator.fingerprint, reader.thresholds_G, reader.size, *options],
    locator.variables,
    masks,
  )
