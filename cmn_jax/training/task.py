"""What the loop, the step, `evaluate` and `predict` know of what is trained."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import flax.linen as nn
import jax
import numpy as np

# {'params': tree, 'batch_stats': tree}, as a model's `apply` takes them.
Variables = Mapping[str, Any]
# Arrays of a batch, or of all studies of a split, by name.
Arrays = Mapping[str, np.ndarray]


class Task(Protocol):
  """One thing that can be trained; `cmn_jax.tasks.TASKS` names them.

  A task is made as `Task(config, data, loaded)`: of a config and opened data
  (`input_pipeline.data.Data`) to train, with a checkpoint (`cmn_jax.loaded`)
  as well to resume or evaluate, and with data=None to predict.

  Attributes:
    sections: what it makes of its own sections of the config, by their names,
      such as a dataclass of the fields; raises UserError of a wrong value.
    selectable: validation scores that may choose the checkpoint.
    shown: those that an epoch's line on the terminal gives, and their labels.
    unit: what is counted in the progress bar, such as 'reports'.
    reads_images: False where the task's own arrays are all that it reads.
    frozen: names of the variables that training leaves as they are, such as a
      teacher's; each a path from the top, parts joined by '/'.
    model: `network` over the devices; `__call__(batch, train)` gives its
      outputs by name.
  """

  sections: Mapping[str, Callable]
  selectable: Sequence[str]
  shown: Mapping[str, str]
  unit: str
  reads_images: bool
  frozen: Sequence[str]
  model: nn.Module

  def network(self, axis: str | None) -> nn.Module:
    """The network, batch statistics over a mapped axis or of one device."""

  def variables(self, seed: int) -> Variables:
    """What training starts from, frozen ones included."""

  def targets(self, split: str, mirrored: bool = False) -> Arrays:
    """Arrays (S, ...) of the studies of a split, which join each batch.

    With `mirrored`, those of the studies seen in a mirror.
    """

  def sampling(self) -> np.ndarray | None:
    """How often to draw each training study, (S,); None for once an epoch."""

  def losses(self, outputs: dict, batch: dict, step: jax.Array) -> dict:
    """Of one device: {name: (weight, sum, count)}, 'loss' among them.

    The objective is the sum of weight * sum / count over all devices; a weight
    of None is not trained on, only logged. Counts depend on no parameter.
    """

  def predict(self, variables: Variables, batch: dict, full: bool) -> dict:
    """Rows (B, ...) by name, of one device; `full` for a whole evaluation."""

  def score(
    self, split: str, rows: Arrays, full: bool, variables: Variables
  ) -> dict:
    """Scores of a split's rows (S, ...).

    Not `full`, at a validation: numbers by name, those of `selectable` among
    them. `full`: the content of evaluation/<split>.json, among it the number
    of 'studies'; what was evaluated is added to it.
    """

  def predictions(self, split: str, rows: Arrays) -> list[dict]:
    """The content of evaluation/<split>_predictions.json."""

  def page(self, results: dict, rows: Arrays, variables: Variables) -> list:
    """Sections of report.html, of the test split."""

  def lines(self, results: dict) -> list[str]:
    """The table that an evaluation prints, 80 columns wide."""

  def describe(self, rows: Arrays, study: int) -> dict:
    """What `predict` says of one study, JSON's types alone."""

  def about(self, variables: Variables) -> str:
    """The network and its data in a line or two, printed before training."""

  def meta(self) -> dict:
    """What a reader of the checkpoint needs beside config and history."""

  def check(self, meta: dict, where: Path) -> None:
    """Raises CheckpointError unless a checkpoint fits the data at hand."""
