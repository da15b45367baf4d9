"""Training against training: loss, gradients, batch statistics, 20 steps."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import torch

from benchmarks import authors
from cmn_jax.interop.names import Row, to_state_dict
from cmn_jax.losses.report import ReportObjective
from cmn_jax.losses.words import language_model_loss
from cmn_jax.models.images import normalise_images
from cmn_jax.models.report_generator import ReportGenerator
from cmn_jax.training.optimizer import OptimConfig, make_optimizer
from cmn_jax.training.state import init_state
from cmn_jax.training.step import make_train_step
from configs import iu_xray
from tests.parity.kept import Kept, digest_of

STEPS = 20
# StepLR halves the way through: it acts after steps 8 and 16.
STEPS_PER_EPOCH = 4
STEP_EPOCHS = 2
GAMMA = 0.8
RATES = {'visual': 1e-4, 'rest': 5e-4}
# Softmax does not see a shift of all scores, so the gradient of a key's bias
# is 0 and both sides hold only rounding there.
_ROUNDING = 1e-6


@dataclasses.dataclass(frozen=True)
class Differences:
  """Largest relative differences of one comparison.

  Attributes:
    loss: |ours - theirs| / theirs.
    gradient: norm of the difference over the norm, worst array.
    gradient_at: its name.
    gradient_rounding: as `gradient`, of theirs against theirs in float64.
    zero_gradient: the norm, over the largest gradient's, of what is left in
      arrays whose true gradient is 0.
    statistics: batch norm's running ones after the step, worst array.
    parameters: after all steps, worst array.
    parameters_at: its name.
    losses: worst relative difference of a step's loss.
  """

  loss: float
  gradient: float
  gradient_at: str
  gradient_rounding: float
  zero_gradient: float
  statistics: float
  parameters: float
  parameters_at: str
  losses: float


def compare(
  theirs,
  ours: ReportGenerator,
  variables: dict,
  table: list[Row],
  batches: list[dict],
  kept: Kept,
  steps: int = STEPS,
) -> Differences:
  """Trains both from the same weights on the same batches.

  Args:
    theirs: torch model with the authors' interface, dropout off.
    ours: the same model.
    variables: its weights, which `theirs` holds too.
    table: names of ours and theirs.
    batches: STEPS_PER_EPOCH batches as the input pipeline makes them, all
      studies real; used again in each epoch.
    kept: what theirs came to before.
    steps: of the optimizer; whole epochs.
  """
  theirs.train()
  loss, theirs_grads = their_gradient(theirs, batches[0])
  our_loss, our_grads = our_gradient(ours, variables, batches[0])
  our_grads = to_state_dict(_parameters(table), {'params': our_grads})
  largest = max(float(np.linalg.norm(g)) for g in theirs_grads.values())
  exact = their_gradient_in_double(theirs, batches[0])
  differences, rounding, zeros = {}, {}, [0.0]
  for name, grad in theirs_grads.items():
    norm = float(np.linalg.norm(grad))
    if norm > _ROUNDING * largest:
      differences[name] = _relative(our_grads[name], grad)
      rounding[name] = _relative(grad, exact[name])
    else:
      zeros += [norm / largest, np.linalg.norm(our_grads[name]) / largest]
  worst_gradient = max(differences, key=differences.get)

  first, after, their_losses = _kept_training(theirs, batches, kept, steps)
  our_first, last, our_losses = train_ours(ours, variables, batches, steps)
  started = to_state_dict(table, our_first)
  changed, changed_at = _worst(table, to_state_dict(table, last), after)
  return Differences(
    loss=abs(our_loss - loss) / loss,
    gradient=differences[worst_gradient],
    gradient_at=worst_gradient,
    gradient_rounding=max(rounding.values()),
    zero_gradient=float(max(zeros)),
    statistics=max(
      _relative(started[row.theirs], first[row.theirs])
      for row in table
      if row.ours.startswith('batch_stats')
    ),
    parameters=changed,
    parameters_at=changed_at,
    losses=_largest_change(our_losses, their_losses),
  )


def against_itself(
  theirs, table: list[Row], batches: list[dict], kept: Kept
) -> tuple[float, float]:
  """Theirs against theirs begun with weights larger by 1e-7 of themselves.

  Returns:
    As `parameters` and `losses` of Differences.
  """
  theirs.train()
  begun = {k: v.clone() for k, v in theirs.state_dict().items()}
  _, after, losses = _kept_training(theirs, batches, kept)
  nudged = {
    k: v * (1 + 1e-7) if v.is_floating_point() else v for k, v in begun.items()
  }
  theirs.load_state_dict(nudged)
  _, nudged, nudged_losses = _kept_training(theirs, batches, kept)
  theirs.load_state_dict(begun)
  return _worst(table, nudged, after)[0], _largest_change(nudged_losses, losses)


def _worst(table, state, expected) -> tuple[float, str]:
  """Largest relative difference of a parameter, and its name."""
  changed = {
    row.theirs: _relative(state[row.theirs], expected[row.theirs])
    for row in _parameters(table)
  }
  worst = max(changed, key=changed.get)
  return changed[worst], worst


def _largest_change(losses, expected) -> float:
  return float(np.max(np.abs(losses / expected - 1)))


def _kept_training(theirs, batches, kept: Kept, steps: int = STEPS):
  """As `train_theirs`, which leaves the model as it was."""

  def train():
    begun = {k: v.clone() for k, v in theirs.state_dict().items()}
    first, last, losses = train_theirs(theirs, batches, steps)
    theirs.load_state_dict(begun)
    first = {f'first {k}': v for k, v in first.items() if '.running_' in k}
    last = {f'last {k}': v for k, v in last.items()}
    return {'losses': losses, **first, **last}

  films = {
    f'{name} {n}': batch[name]
    for n, batch in enumerate(batches)
    for name in ('images_BxIxHxW', 'ids_BxT')
  }
  recipe = (steps, STEPS_PER_EPOCH, STEP_EPOCHS, GAMMA, RATES)
  weights = digest_of(state_of(theirs))
  arrays = kept.get(train, weights=weights, recipe=recipe, **films)
  states = (
    {k.removeprefix(f'{which} '): v for k, v in arrays.items() if which in k}
    for which in ('first', 'last')
  )
  return (*states, arrays['losses'])


def _parameters(table):
  return [row for row in table if row.ours.startswith('params')]


def _relative(ours, theirs) -> float:
  scale = float(np.linalg.norm(theirs))
  return float(np.linalg.norm(ours - theirs)) / max(scale, 1e-30)


def state_of(model) -> dict[str, np.ndarray]:
  """A copy of the state dict, numpy."""
  return {k: v.detach().numpy().copy() for k, v in model.state_dict().items()}


def _their_loss(model, batch):
  dtype = str(next(model.parameters()).dtype).removeprefix('torch.')
  images = np.array(normalise_images(batch['images_BxIxHxW']), dtype)
  ids_BxT = torch.from_numpy(batch['ids_BxT']).long()
  return authors.loss_of(model, authors.films_for(model, images), ids_BxT)


def their_gradient(model, batch):
  """Loss and gradients; the batch statistics are put back as they were."""
  kept = {k: v.clone() for k, v in model.state_dict().items()}
  model.zero_grad()
  loss = _their_loss(model, batch)
  loss.backward()
  grads = {
    name: p.grad.numpy().copy()
    for name, p in model.named_parameters()
    if p.grad is not None
  }
  model.load_state_dict(kept)
  return float(loss.detach()), grads


def their_gradient_in_double(model, batch):
  """Gradients of the same float32 weights, computed in float64."""
  dtype = next(model.parameters()).dtype
  _, grads = their_gradient(model.double(), batch)
  model.to(dtype)
  return grads


def our_gradient(model: ReportGenerator, variables, batch):
  def loss(params):
    log_probs, _ = model.apply(
      {'params': params, 'batch_stats': variables['batch_stats']},
      batch['images_BxIxHxW'],
      batch['ids_BxT'],
      batch['mask_B'],
      True,
      mutable=['batch_stats'],
      method='log_probs',
    )
    total, count = language_model_loss(
      log_probs, batch['ids_BxT'], batch['mask_B']
    )
    return total / count

  batch = jax.tree.map(jnp.asarray, batch)
  value, grads = jax.jit(jax.value_and_grad(loss))(variables['params'])
  return float(value), grads


def train_theirs(model, batches, steps: int = STEPS):
  """State after the first and the last step, and the losses."""
  from modules.optimizers import build_lr_scheduler, build_optimizer

  model.args.step_size, model.args.gamma = STEP_EPOCHS, GAMMA
  model.args.lr_ve, model.args.lr_ed = RATES['visual'], RATES['rest']
  optimizer = build_optimizer(model.args, model)
  scheduler = build_lr_scheduler(model.args, optimizer)
  first, losses = None, []
  for step in range(steps):
    loss = _their_loss(model, batches[step % len(batches)])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(float(loss.detach()))
    if step == 0:
      first = state_of(model)
    if (step + 1) % STEPS_PER_EPOCH == 0:
      scheduler.step()
  return first, state_of(model), np.array(losses)


def train_ours(model: ReportGenerator, variables, batches, steps: int = STEPS):
  """Variables after the first and the last step, and the losses."""
  published = iu_xray.get_config('cmn').optim
  recipe = {
    'visual_rate': RATES['visual'],
    'rate': RATES['rest'],
    'step_epochs': STEP_EPOCHS,
    'gamma': GAMMA,
  }
  optimizer = make_optimizer(
    OptimConfig(**{**published, **recipe}),
    STEPS_PER_EPOCH,
    epochs=steps // STEPS_PER_EPOCH,
  )
  state = init_state(variables, optimizer)
  step_once = jax.jit(
    make_train_step(ReportObjective(model), optimizer, 0, None)
  )
  first, losses = None, []
  for step in range(steps):
    state, metrics = step_once(state, batches[step % len(batches)])
    total, count = metrics['loss']
    losses.append(float(total) / float(count))
    if step == 0:
      first = jax.tree.map(np.asarray, state.variables)
  last = jax.tree.map(np.asarray, state.variables)
  return first, last, np.array(losses)
