"""EKAGen: a captioner with expert knowledge, taught by one of whole films."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from cmn_jax.decoding.ekagen import attention_of_ids, make_film_writer
from cmn_jax.decoding.generate import Decoding
from cmn_jax.interop.ekagen import captioner_variables
from cmn_jax.interop.encoders import put_encoder
from cmn_jax.loaded import Loaded
from cmn_jax.losses.ekagen import EkagenObjective
from cmn_jax.models.config import DTYPES
from cmn_jax.models.ekagen import Captioner, frozen_params
from cmn_jax.models.ekagen_config import EkagenConfig, shape_of
from cmn_jax.models.ekagen_system import EkagenSystem
from cmn_jax.tasks.ekagen_checks import (
  check_drawn_anew,
  check_encoder,
  check_fields,
)
from cmn_jax.tasks.ekagen_inputs import EkagenInputs
from cmn_jax.tasks.ekagen_parts import (
  CAPTIONER,
  KNOWLEDGE,
  PARTS,
  check_same,
  gather,
  inside,
  part_of,
)
from cmn_jax.tasks.ekagen_readers import FilmReaders
from cmn_jax.tasks.ekagen_results import (
  CONTROLS,
  knowledge_lines,
  knowledge_results,
  whole_batches,
)
from cmn_jax.tasks.encoder import (
  RANDOM,
  encoder_of,
  frozen_parts,
  pretrained_encoder,
)
from cmn_jax.tasks.written_reports import WrittenReports
from cmn_jax.training.distributed import log
from cmn_jax.training.optimizer import VISUAL
from cmn_jax.training.parallel import AXIS
from cmn_jax.training.state import init_variables, study_batch
from input_pipeline.findings_reader import findings_reader


class EkagenTask(WrittenReports):
  """Trains a captioner; see `training.task.Task` for the members.

  Attributes:
    ekagen: the config's section, `compat` resolved.
    parts: what is frozen beside the captioner.
    beams: of writing.
    max_words: ids of a report, at most.
  """

  sections = {'ekagen': EkagenConfig, 'decode': Decoding}

  def __init__(self, config: ConfigDict, data, loaded: Loaded | None = None):
    source = loaded.meta['label_source'] if loaded else data.label_source
    super().__init__(config, data, findings_reader(source))
    self.ekagen = EkagenConfig.of(config.ekagen)
    check_fields(config, self.ekagen)
    self.reads_images = not frozen_parts(config)
    self._history, self._encoder = None, None
    if loaded:
      self.parts = inside(loaded)
      self.tokenizer = loaded.tokenizer
      self.encoder_start = loaded.meta.get('encoder_start', 'an unknown state')
      self._history = loaded.meta['history']
      self._encoder = encoder_of(part_of(loaded.variables, CAPTIONER))
      if data is not None:
        check_same(self.parts, self.ekagen)
    else:
      check_drawn_anew(config, self.ekagen)
      self.parts = gather(config, data, self.ekagen)
      self.tokenizer, self.encoder_start = data.tokenizer, RANDOM
    fused = loaded.meta['fused'] if loaded else KNOWLEDGE in self.parts
    self.shape = shape_of(config, self.tokenizer.vocabulary, fused)
    if data is not None:
      self.inputs = EkagenInputs(
        config, data, self.ekagen, self.parts, self._reader
      )
    self.model = self.network(AXIS)
    self._readers = FilmReaders(self.parts, self.ekagen)
    decode = config.decode
    self.beams = 1 if decode.method == 'greedy' else decode.beam_size
    self.max_words = min(self.ekagen.max_words, self.shape.max_length)
    self._write_films = make_film_writer(
      self.beams, self.max_words, self.ekagen.stop_at_end
    )

  def network(self, axis: str | None) -> EkagenSystem:
    """Captioner, teacher and table; batch statistics over a mapped axis."""
    c = self._config.model
    return EkagenSystem(
      self.shape,
      self.ekagen,
      self.parts.teacher_shape,
      self.parts.table,
      axis,
      DTYPES[c.dtype],
      c.remat,
    )

  @functools.cached_property
  def frozen(self) -> tuple[str, ...]:
    """All parts, and of the captioner what the recipe leaves as it is."""
    if self.shape.frozen == 'all':
      return *PARTS, f'{CAPTIONER}/{VISUAL}'
    params = captioner_variables(Captioner(self.shape))['params']
    left = frozen_params(self.shape, params)
    return *PARTS, *(f'{CAPTIONER}/{path}' for path in left)

  def variables(self, seed: int) -> dict:
    """A random captioner, its encoder as model.pretrained names it, and parts.

    The student does not start from its teacher.
    """
    network = self.network(None).clone(teacher_shape=None)
    start = init_variables(network, seed, self._blank())
    encoder, self.encoder_start = pretrained_encoder(self._config.model)
    captioner = part_of(start, CAPTIONER)
    captioner = put_encoder(captioner, encoder) if encoder else captioner
    own = self.parts.variables
    variables = {
      kind: {CAPTIONER: captioner[kind], **own[kind]} for kind in own
    }
    self._encoder = encoder_of(captioner)
    if not self.reads_images:
      if not encoder:
        log(
          'train.freeze leaves the visual encoder at random weights: name '
          'model.pretrained, as `python -m cmn_jax.ekagen build` does'
        )
      check_encoder(self.parts.get('teacher'), self._encoder)
    return variables

  def targets(self, split: str, mirrored: bool = False) -> dict:
    """Labels and masks, and what a frozen encoder has seen."""
    arrays = self.inputs.knowledge(split)
    if 'labels_BxG' in arrays and split != 'train':
      constant_SxG = np.zeros_like(arrays['labels_BxG'])
      constant_SxG[:, self.parts.no_finding] = True
      arrays['constant_labels_BxG'] = constant_SxG
    if self.reads_images:
      return {**arrays, **self.inputs.masks(split)}
    return {**arrays, **self.inputs.maps(split, self.shape, self._encoder)}

  def losses(self, outputs: dict, batch: dict, step: jax.Array) -> dict:
    """See `EkagenObjective`."""
    objective = EkagenObjective(self.model, self.ekagen)
    return objective.losses(outputs, batch, step)

  def predict(self, variables: dict, batch: dict, full: bool) -> dict:
    """'ids', (B, T), and the classifier's 'probability' and 'labels', (B, G).

    With `full` also the ids that other knowledge gives, by name of control.
    """
    batch = self._readers.diagnosed(variables, batch)
    labels = {'ids': batch.get('labels_BxG')}
    if full and KNOWLEDGE in self.parts:
      labels |= {name: batch[key] for name, key in CONTROLS.items()}

    def write(module, batch):
      films, times = module.encode(batch), len(labels)
      films = films._replace(
        tokens_BxPxD=jnp.tile(films.tokens_BxPxD, (times, 1, 1)),
        mask_Bx1x1xP=jnp.tile(films.mask_Bx1x1xP, (times, 1, 1, 1)),
      )
      knowledge = None
      if KNOWLEDGE in self.parts:
        knowledge = module.know(jnp.concatenate(list(labels.values())))
      mask_B = jnp.tile(batch['mask_B'], times)
      return self._write_films(module.captioner, films, mask_B, knowledge)[0]

    ids = self.model.apply(variables, batch, method=write)
    rows = dict(zip(labels, jnp.split(ids, len(labels)), strict=True))
    if KNOWLEDGE in self.parts:
      rows['probability'] = batch['probability_BxG']
      rows['labels'] = batch['labels_BxG']
    return rows

  def see(self, variables: dict, batch: dict) -> dict:
    """What new films give: 'films', normalised, as the captioner sees them;

    and where there is knowledge 'knowledge', (B, T, D), and the classifier's
    'probability' and 'labels', (B, G).
    """

    def look(module, batch):
      return module.shown(batch), module.know(batch.get('labels_BxG'))

    batch = self._readers.diagnosed(variables, batch)
    films, knowledge = self.network(None).apply(variables, batch, method=look)
    if knowledge is None:
      return {'films': films}
    return {
      'films': films,
      'knowledge': knowledge,
      'probability': batch['probability_BxG'],
      'labels': batch['labels_BxG'],
    }

  def texts(self, rows: dict) -> list[str]:
    """See `WrittenReports`."""
    return self._texts(rows['ids'])

  def _texts(self, ids_SxT) -> list[str]:
    stop = self.ekagen.stop_at_end
    return [
      self._data.words.normal_form(self.tokenizer.decode(ids, stop))
      for ids in np.asarray(ids_SxT)
    ]

  def score(self, split: str, rows: dict, full: bool, variables: dict) -> dict:
    """As of all reports; in full with the controls of the knowledge."""
    results = super().score(split, rows, full, variables)
    if not full:
      return results
    studies, texts = self._data.studies[split], self.texts(rows)
    if self._data.split_official[split]:
      results['controls'] |= whole_batches(studies, self._reader, texts)
    if KNOWLEDGE not in self.parts:
      return results
    more = knowledge_results(
      studies,
      self._reader,
      texts,
      {name: self._texts(rows[name]) for name in CONTROLS},
      rows['labels'],
      self._readers.classes,
      self._config.eval.bootstrap,
    )
    return {
      **results,
      **more,
      'controls': results['controls'] | more['controls'],
    }

  def lines(self, results: dict) -> list[str]:
    """The captioner beside its baselines and controls, and the labels' F1."""
    return super().lines(results) + knowledge_lines(results)

  def page(self, results: dict, rows: dict, variables: dict) -> list:
    """Scores, curves, and examples with the words' attention."""
    network = self.network(None)

    def look(variables, batch, ids_BxT):
      def attention(module, batch, ids_BxT):
        films = module.encode(batch)
        knowledge = module.know(batch.get('labels_BxG'))
        return attention_of_ids(module.captioner, films, ids_BxT, knowledge)

      batch = self._readers.diagnosed(variables, batch)
      return network.apply(variables, batch, ids_BxT, method=attention)

    return self.attended_page(look, results, rows, variables, self._history)

  def describe(self, rows: dict, study: int) -> dict:
    """The report, the findings that it states, and the diagnosis behind it."""
    ids_T = rows['ids'][study]
    text = self.tokenizer.decode(ids_T, self.ekagen.stop_at_end)
    said = self.said(text)
    if KNOWLEDGE in self.parts:
      said['diagnosis'] = {
        name: {'probability': float(p), 'found': bool(found)}
        for name, p, found in zip(
          self._readers.classes,
          np.asarray(rows['probability'][study]),
          np.asarray(rows['labels'][study]),
          strict=True,
        )
      }
    return said

  def about(self, variables: dict) -> str:
    """Parameters, data, words and parts."""
    beside = [
      f'beside the captioner: {name} of {self.parts[name].origin}'
      for name in PARTS
      if name in self.parts
    ]
    counted = self.counted(variables['params'][CAPTIONER])
    return '\n'.join([counted, *beside])

  def meta(self) -> dict:
    """As of any writer, and the metas of all parts."""
    fused = self.shape.knowledge
    return {**super().meta(), 'fused': fused, 'parts': self.parts.meta}

  def _blank(self) -> dict:
    """A batch of one blank study."""
    c = self._config.data
    blank = study_batch(c.views, c.image_size, c.max_length)
    if self.parts.table:
      blank['labels_BxG'] = jnp.zeros((1, self.parts.table[2]), bool)
    return blank
