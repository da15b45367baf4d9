"""EKAGen's DiagnosisBot and locator: their .pth to our folders, and back."""

from pathlib import Path
from typing import NamedTuple

from cmn_jax.interop.ekagen_files import THRESHOLDS, read_thresholds
from cmn_jax.interop.encoders import WIDTH
from cmn_jax.interop.files import read_pth, tensors_of, write_pth
from cmn_jax.interop.film_classifiers import from_classifier, to_classifier
from cmn_jax.interop.folders import check_free, check_new, write_folder
from cmn_jax.interop.names import ConversionError
from cmn_jax.interop.r2gencmn import batches_tracked
from cmn_jax.loaded import Loaded
from cmn_jax.models.film_classifier import FilmClassifier, SingleFilmClassifier
from cmn_jax.tasks.diagnosis import FilmReader
from cmn_jax.tasks.labelled_studies import check_classes
from cmn_jax.training.checkpoints import check_same_shapes, make_meta
from cmn_jax.training.state import study_batch, variable_shapes
from configs import mimic_cxr
from input_pipeline.findings import CHEXPERT_14


class _Published(NamedTuple):
  """One of their classifiers.

  Attributes:
    variant: of our configs.
    encoder: a key of ENCODERS.
    size: side of the films that it reads, in pixels.
    shift: see `models.swin.Swin`, shift_last_stage.
  """

  variant: str
  encoder: str
  size: int
  shift: bool


# By the converter's verb.
CLASSIFIERS = {
  'diagnosisbot': _Published('ekagen_diagnosis', 'swin_t', 224, True),
  'locator': _Published('ekagen_locator', 'resnet34', 300, False),
}


def convert_classifier(
  which: str, path: Path | str, out: Path | str, thresholds: str | None = None
) -> None:
  """Converts a state dict of theirs to a checkpoint of the task 'diagnose'.

  Classes come in our order. Their thresholds are those of their code, unless
  a file is named.

  Args:
    which: a key of CLASSIFIERS.
    path: the .pth.
    out: folder to be made, with model/ and meta/.
    thresholds: a thresholds.pkl.

  Raises:
    ConversionError: something does not fit; nothing is written.
  """
  check_free(out)
  published = CLASSIFIERS[which]
  content = read_pth(path)
  tensors = tensors_of(content.get('state_dict', content), path)
  variables = from_classifier(
    _network(published), tensors, CHEXPERT_14, str(path)
  )
  if thresholds:
    bounds = read_thresholds(thresholds, CHEXPERT_14).tolist()
  else:
    bounds = [THRESHOLDS[name] for name in CHEXPERT_14]
  config = mimic_cxr.get_config(published.variant)
  config.data.image_size = published.size
  config.data.stored_size = max(config.data.stored_size, published.size)
  about = {
    'dataset': 'mimic_cxr',
    'label_source': 'chexpert',
    'encoder_start': f'EKAGen, {Path(path).name}',
    'diagnosis': {
      'classes': list(CHEXPERT_14),
      'thresholds': bounds,
      'shift_last_stage': published.shift,
    },
    'batches_tracked': batches_tracked(tensors),
  }
  write_folder(out, variables, make_meta(config, [], 0.0, about))


def convert_to_classifier(
  which: str, folder: Path | str, out: Path | str
) -> None:
  """Writes the state dict that their code loads; thresholds are not in it.

  Args:
    which: a key of CLASSIFIERS.
    folder: a workdir, a step of it, or a converted checkpoint.
    out: the .pth.

  Raises:
    ConversionError: they have no such model.
    CheckpointError: nothing there, not readable, or of other sizes.
  """
  check_new(out)
  loaded, published = Loaded.load(folder), CLASSIFIERS[which]
  reader = FilmReader.of(loaded.meta)
  found = reader.network.encoder
  if found != published.encoder:
    raise ConversionError(
      f'{folder} holds {found}, and their {which} is {published.encoder}: '
      f'train with --config.model.encoder={published.encoder}'
    )
  check_classes(reader.classes, CHEXPERT_14, loaded.origin)
  check_same_shapes(loaded.variables, _shapes(published), str(folder))
  if reader.network.shift_last_stage != published.shift:
    raise ConversionError(
      f"{folder} does not shift the last stage's windows, as their code does, "
      'which would give other probabilities: only what came from their '
      f'{which} goes back'
    )
  arrays = to_classifier(
    reader.network,
    loaded.variables,
    CHEXPERT_14,
    loaded.meta.get('batches_tracked'),
  )
  Path(out).parent.mkdir(parents=True, exist_ok=True)
  write_pth(out, arrays)


def _network(published: _Published) -> FilmClassifier:
  return FilmClassifier(
    published.encoder, WIDTH, len(CHEXPERT_14), published.shift
  )


def _shapes(published: _Published) -> dict:
  model = SingleFilmClassifier(published.encoder, WIDTH, len(CHEXPERT_14))
  return variable_shapes(model, study_batch(1, 64, 8))
