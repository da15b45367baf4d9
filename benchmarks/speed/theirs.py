"""The authors' side of each workload: as published, or at its best."""

import argparse
import contextlib
import itertools
from pathlib import Path

import numpy as np
import torch

from benchmarks import authors
from benchmarks.speed.workloads import (
  END_BIAS,
  SEED,
  VIEWS,
  Plan,
  features,
  training_batch,
)
from cmn_jax.models.images import normalise_images
from input_pipeline.errors import UserError

# A word seen less often is unknown to them.
_MIN_COUNT = 3


class Theirs:
  """The workloads by name; each gives a function that runs it.

  At its best means what their users can switch on around their code, and we
  do: channels-last films and convolutions, bfloat16 autocast, torch.compile
  of the visual extractor (of their Transformer it breaks at each Python
  branch, and is left out).
  """

  def __init__(self, plan: Plan, at_best: bool):
    self._plan, self._at_best = plan, at_best
    self._device = 'cuda' if torch.cuda.is_available() else 'cpu'
    torch.manual_seed(SEED)
    torch.set_num_threads(plan.threads)
    authors.install(Path(plan.checkout))
    self.compile_seconds, self.flops = None, None
    self.warm_up = None

  def _model(self, words: list[str] | None = None):
    """Their model; with the shared weights, or for `words` with its own."""
    vocabulary = len(words) + 1 if words else self._plan.vocabulary
    model = authors.build_model(self._plan.model(vocabulary), VIEWS, words)
    if words:
      with torch.no_grad():
        model.encoder_decoder.logit.bias[0] = END_BIAS
    else:
      with np.load(self._plan.weights) as arrays:
        state = {k: torch.from_numpy(arrays[k]) for k in arrays.files}
      missing, surplus = model.load_state_dict(state, strict=False)
      if surplus or any(not name.endswith('.pe') for name in missing):
        raise UserError(f'their model lacks {surplus} or has more: {missing}')
    model = model.to(self._device)
    if self._at_best:
      extractor = model.visual_extractor
      extractor.to(memory_format=torch.channels_last)
      extractor.model = torch.compile(extractor.model)
    return model

  def _autocast(self):
    if not self._at_best:
      return contextlib.nullcontext()
    return torch.autocast(self._device, torch.bfloat16)

  def _timed(self, run):
    """run, and then nothing left to do on the device."""

    def finished():
      with self._autocast():
        result = run()
      if self._device == 'cuda':
        torch.cuda.synchronize()
      return result

    return finished

  def memory(self):
    """Gradients of the memory's arrays and of the queries."""
    model = self._model().train()
    memory, width = model.encoder_decoder.cmn, self._plan.model().width
    matrix_MxD = model.encoder_decoder.memory_matrix
    x_BxQxD = torch.from_numpy(features(self._plan, width)).to(self._device)
    x_BxQxD.requires_grad_()
    out_BxQxD = torch.from_numpy(
      np.random.default_rng(3).normal(size=x_BxQxD.shape).astype(np.float32)
    ).to(self._device)

    def run():
      model.zero_grad()
      x_BxQxD.grad = None
      slots = matrix_MxD.unsqueeze(0).expand(len(x_BxQxD), *matrix_MxD.shape)
      (memory(x_BxQxD, slots, slots) * out_BxQxD).sum().backward()

    return self._timed(run)

  def _films(self, model):
    batch = training_batch(self._plan)
    images = np.asarray(normalise_images(batch['images_BxIxHxW']))
    films = authors.films_for(model, images).to(self._device)
    return films, torch.from_numpy(batch['ids_BxT']).long().to(self._device)

  def encoder(self):
    """Feature maps of one batch, a view at a time as they do it."""
    model = self._model().eval()
    films, _ = self._films(model)

    @torch.no_grad()
    def run():
      for view in range(films.shape[1]):
        model.visual_extractor(films[:, view])

    return self._timed(run)

  def train_step(self):
    """A step on one batch, again and again, with their optimizer."""
    from modules.optimizers import build_optimizer

    model = self._model().train()
    films, ids_BxT = self._films(model)
    optimizer = build_optimizer(model.args, model)

    def run():
      loss = authors.loss_of(model, films, ids_BxT)
      optimizer.zero_grad()
      loss.backward()
      optimizer.step()
      loss.item()

    return self._timed(run)

  def _options(self):
    return {'beam_size': self._plan.beam, 'sample_method': 'beam_search'}

  def write_reports(self):
    """Words of one batch from its patches."""
    model = self._model().eval()
    width = model.args.d_vf
    patches = torch.from_numpy(features(self._plan, width)).to(self._device)
    means = patches.mean(1)

    @torch.no_grad()
    def run():
      ids, _ = model.encoder_decoder(
        means, patches, mode='sample', update_opts=self._options()
      )
      return ids.tolist()

    return self._timed(run)

  def test_split(self):
    """Films on disk to text, batch by batch, as their tester does it."""
    loader = self._loader('test')
    words = list(loader.tokenizer.idx2token.values())
    model = self._model(words).eval()
    batches, _ = self._plan.split_share('theirs')

    @torch.no_grad()
    def run(batches=batches):
      split = itertools.chain.from_iterable(itertools.repeat(loader))
      for _, films, _, _ in itertools.islice(split, batches):
        films = films.to(self._device)
        ids, _ = model(films, mode='sample', update_opts=self._options())
        loader.tokenizer.decode_batch(ids.cpu().numpy())

    self.warm_up = self._timed(lambda: run(1))
    return self._timed(run)

  def input(self):
    """One epoch of training films; gives the batches that it had."""
    loader = self._loader('train')
    steps = len(loader.dataset) // self._plan.batch

    def run():
      for _ in itertools.islice(loader, steps):
        pass
      return steps

    return run

  def _loader(self, split: str):
    """Their loader, with as many worker processes as we have threads."""
    from modules.dataloaders import R2DataLoader
    from modules.tokenizers import Tokenizer

    folder = Path(self._plan.data)
    arguments = argparse.Namespace(
      **vars(authors.arguments(self._plan.model(), VIEWS)),
      ann_path=str(folder / 'annotation.json'),
      image_dir=str(folder / 'images'),
      batch_size=self._plan.batch,
      num_workers=self._plan.threads,
      threshold=_MIN_COUNT,
    )
    return R2DataLoader(
      arguments, Tokenizer(arguments), split, shuffle=split == 'train'
    )
