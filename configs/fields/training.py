"""How it is trained, how words are chosen, and what is evaluated."""


def optim() -> dict:
  """Adam as torch computes it; the fields of `OptimConfig`."""
  return {
    'visual_rate': 1e-4,
    'rate': 5e-4,
    # 'step' (times gamma every step_epochs epochs) or 'cosine'.
    'schedule': 'step',
    'step_epochs': 10,
    'gamma': 0.8,
    'warmup_steps': 0,
    'b1': 0.9,
    'b2': 0.98,
    'epsilon': 1e-9,
    'weight_decay': 5e-5,
    # Decay is added to the gradient (torch's Adam), or to the step (AdamW).
    'decoupled': False,
    'amsgrad': True,
    # Bound on the gradient's norm; 0 for none.
    'clip_norm': 0.0,
  }


def train() -> dict:
  """The loop."""
  return {
    # Studies of a step, over all devices.
    'batch_size': 16,
    # Parts of a device's studies, run one after the other: a part's memory.
    # Batch norm and the alignment's loss see one part alone.
    'accumulate': 1,
    'epochs': 100,
    # Stop after so many epochs without a better validation score.
    'patience': 50,
    # Validate, and save a checkpoint, every so many epochs.
    'validate_every': 1,
    # Saves between two validations; 0 for none.
    'save_every_steps': 0,
    'save_every_seconds': 600.0,
    # Validation score that picks the checkpoint: bleu_1 to bleu_4,
    # rouge_l, cider or micro_f1 (of findings).
    'select_by': 'bleu_4',
    # What is not trained: '' or 'visual_encoder', whose maps of all images are
    # then computed once, uncropped, and cached.
    'freeze': '',
    # Draw studies so that this share of them has a finding; 0 draws each study
    # once an epoch.
    'abnormal_share': 0.0,
    # Weight of a findings head's loss beside the report's; 0 for no head,
    # as the authors train.
    'findings_weight': 0.0,
    # 'pmap' or 'shard_map'; the results are the same.
    'parallel': 'pmap',
    # TensorBoard rows every so many steps.
    'log_every': 10,
    # '10:15' writes a profiler's trace of the steps 10 to 14 into the workdir's
    # profile/, and says how to open it; '' writes none.
    'profile': '',
  }


def decode() -> dict:
  """How words are chosen; the fields of `Decoding`."""
  return {
    # 'beam', 'greedy' or 'sample'.
    'method': 'beam',
    'beam_size': 3,
    # Of 'sample' alone.
    'temperature': 1.0,
    'top_p': 1.0,
  }


def evaluation() -> dict:
  """What is written into `evaluation/` and report.html."""
  return {
    # Studies written at once, over all devices.
    'batch_size': 16,
    # Resamples of each 95 % interval.
    'bootstrap': 1000,
    # Studies shown in report.html.
    'examples': 12,
  }
