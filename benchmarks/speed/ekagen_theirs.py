"""The authors' side of EKAGen's workloads (hnjzbss/EKAGen), as published."""

import argparse
from pathlib import Path

import numpy as np
import torch

from benchmarks import ekagen_authors as authors
from benchmarks.speed import ekagen_sizes as ekagen
from benchmarks.speed.workloads import SEED, Plan
from cmn_jax.interop.ekagen_files import their_order
from cmn_jax.models.images import as_pixels
from cmn_jax.models.knowledge import mean_of_classes
from cmn_jax.tasks.diagnosis import at_size
from input_pipeline.findings.vocabulary import CHEXPERT_14


class EkagenTheirs:
  """The workloads by name; each gives a function that runs it."""

  def __init__(self, plan: Plan):
    self._plan, self._sizes = plan, ekagen.sizes_of(plan.ekagen_size)
    self._device = 'cuda' if torch.cuda.is_available() else 'cpu'
    torch.manual_seed(SEED)
    torch.set_num_threads(plan.threads)
    authors.install(Path(plan.ekagen))
    self.compile_seconds = self.flops = self.warm_up = None
    self._bot = authors.build_diagnosis_bot()
    self._load(self._bot, 'bot')
    self._bot.requires_grad_(False)

  def _load(self, model, part: str):
    with np.load(self._plan.ekagen_weights(part)) as arrays:
      state = {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    model.load_state_dict(state)
    model.to(self._device)

  def _captioner(self, bot_films):
    """Their captioner; its knowledge is that of the labels of these films."""
    shape, table = self._sizes.shape, ekagen.table(self._sizes)
    model = authors.build_captioner(shape, table[:1])
    self._load(model, 'captioner')
    theirs_BxG = self._labels(bot_films)
    known = mean_of_classes(
      table, theirs_BxG[:, their_order(CHEXPERT_14)], ekagen.NO_FINDING_CLASS
    )
    rows = zip(theirs_BxG, np.asarray(known), strict=True)
    model.transformer.knowledge_prompt = {
      tuple(labels): torch.tensor(row) for labels, row in rows
    }
    return model

  def _labels(self, bot_films):
    return 1 * (self._bot(bot_films).cpu().numpy() > ekagen.THRESHOLD)

  def _films(self, studies: int):
    """Films of captioner and classifier, their channels first."""
    films = ekagen.films(self._sizes, studies)
    small = np.asarray(at_size(films[:, 0], ekagen.BOT_SIDE))[:, None]
    return (
      authors.films_for(np.asarray(as_pixels(x))).to(self._device)
      for x in (films, small)
    )

  def ekagen_train_step(self):
    """Their epoch of one batch, again and again."""
    from utils import engine
    from utils.stloss import SoftTarget

    films, bot = self._films(self._sizes.train)
    student = self._captioner(bot.tensors)
    teacher = self._captioner(bot.tensors)
    optimizer = _optimizer(student)
    ids_BxT = torch.from_numpy(ekagen.reports(self._sizes)).long()
    seen = (films.tensors, films.mask)
    batch = (*seen, *seen, ids_BxT, ids_BxT == 0, bot.tensors)

    def run():
      engine.train_one_epoch(
        student,
        teacher,
        self._bot,
        torch.nn.CrossEntropyLoss(),
        SoftTarget(ekagen.RULES.temperature),
        [batch],
        optimizer,
        self._device,
        ekagen.OPTIM.clip_norm,
        ekagen.THRESHOLD,
        None,
        argparse.Namespace(delta=ekagen.RULES.kd_weight),
      )

    return run

  def ekagen_write(self):
    """The first passes of their loop: classifier and captioner for each word.

    Gives the words that these wrote.
    """
    films, bot = self._films(self._sizes.write)
    model = self._captioner(bot.tensors)
    passes, length = self._sizes.passes, self._sizes.shape.max_length

    @torch.no_grad()
    def run():
      ids = torch.zeros((self._sizes.write, length), dtype=torch.long)
      hidden = torch.ones(ids.shape, dtype=torch.bool)
      ids[:, 0], hidden[:, 0] = 1, False
      for n in range(passes):
        known = [self._labels(bot.tensors), None]
        found = model(
          films, ids.to(self._device), hidden.to(self._device), known
        )
        ids[:, n + 1], hidden[:, n + 1] = found[:, n].argmax(-1).cpu(), False
      return ids[:, 1 : passes + 1].tolist()

    return run


def _optimizer(model) -> torch.optim.Optimizer:
  """As their main file makes it."""
  groups = {True: [], False: []}
  for name, parameter in model.named_parameters():
    if parameter.requires_grad:
      groups['backbone' in name].append(parameter)
  c = ekagen.OPTIM
  return torch.optim.AdamW(
    [
      {'params': groups[False]},
      {'params': groups[True], 'lr': c.visual_rate},
    ],
    lr=c.rate,
    weight_decay=c.weight_decay,
  )
