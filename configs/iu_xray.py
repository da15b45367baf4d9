"""IU X-Ray with R2GenCMN's published recipe (ResNet-101, 224 pixels).

  python main.py --config=configs/iu_xray.py:cmn --workdir=runs/iu_xray_cmn \
    --config.data.dir=data/iu_xray

Variants: base (no memory), mem (one memory for films, one for words), cmn
(one memory that both share), proposed (cmn, and films and reports aligned by a
contrastive loss; the default); classifier and classifier_ce (no focal loss),
which need --config.classifier.checkpoint=runs/iu_xray_cmn.
"""

from ml_collections import ConfigDict

from configs import classification

# The memory of each.
VARIANTS = {
  'base': 'none',
  'mem': 'separate',
  'cmn': 'shared',
  'proposed': 'shared',
}


def get_config(variant: str = 'proposed') -> ConfigDict:
  """Every field that the program reads, with the authors' values."""
  variants = *VARIANTS, *classification.VARIANTS
  if variant not in variants:
    raise ValueError(
      f'no variant {variant!r} of this config; choose from '
      f'{", ".join(variants)}'
    )
  config = ConfigDict(
    {
      'variant': variant,
      # Of parameters, batch order, crops and dropout.
      'seed': 7580,
      # Runs with seed, seed + 1, ..., each in its folder seed_N of the workdir;
      # 1 is a single run, in the workdir itself.
      'seeds': 1,
      'data': {
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
        # Which films of a study: 'first', 'frontal_lateral' or 'frontal'.
        'view_rule': 'first',
        # Studies with fewer films are left out (R2Gen's rule is 2). With 1,
        # a film that a study does not have is masked.
        'min_films': 2,
        # An annotation.json whose split is taken; '' for the data's own.
        'split_from': '',
        # 'words' as R2Gen has them, or SentencePiece learnt from the training
        # reports: 'unigram' or 'bpe', with so many pieces (0 with words).
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
      },
      'model': {
        # resnet18, resnet34, resnet50, resnet101 or vit_b16.
        'encoder': 'resnet101',
        # Channels of a ResNet's first stage, or of one head of the ViT; as
        # published 64 in both.
        'encoder_width': 64,
        # Weights that the encoder starts from. 'imagenet': the published ones,
        # downloaded once from the Hugging Face hub; where that fails, random
        # ones, and the run says so. '': random ones. Or a file (torchvision's
        # .pth, a .safetensors), a folder of `cmn_jax.convert encoder`, the
        # workdir of an earlier run, or a model on the hub by its name, such as
        # 'timm/resnet101.tv_in1k'; the run ends where it is not there.
        'pretrained': 'imagenet',
        # 'none', 'separate' or 'shared'; set by the variant.
        'memory': VARIANTS.get(variant, 'shared'),
        'memory_slots': 2048,
        # Slots that answer a query.
        'memory_top_k': 32,
        'width': 512,
        'heads': 8,
        'hidden': 512,
        'layers': 3,
        'dropout': 0.1,
        'patch_dropout': 0.5,
        'memory_dropout': 0.1,
        # Arithmetic of convolutions and matrix products: float32 or bfloat16.
        'dtype': 'float32',
        # Recompute the encoder's blocks in the backward pass: less memory.
        'remat': False,
      },
      # Films and reports as unit vectors: those of a study pulled together,
      # those of others pushed apart.
      'alignment': {
        # Of this loss beside the report's; 0 for none, and no parameters.
        'weight': 1.0 if variant == 'proposed' else 0.0,
        # Steps over which that weight rises from 0, evenly; 0 for none.
        'warmup_steps': 0,
        # 'cosine' or 'infonce'.
        'form': 'cosine',
        # Of 'cosine': others' cosines below this cost nothing.
        'margin': 0.0,
        # Of 'infonce': what its learned temperature starts from.
        'temperature': 0.07,
        # What the decoder has seen when its output over the vocabulary becomes
        # the report's vector: 'report', or 'report+films'.
        'text': 'report',
        # Studies whose reports are word for word the same are not negatives.
        'mask_identical': True,
      },
      # Of the variants classifier and classifier_ce: see classification.py.
      'classifier': classification.section(variant),
      'optim': {
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
        # Added to the gradient, not to the step (torch's Adam).
        'weight_decay': 5e-5,
        'amsgrad': True,
        # Bound on the gradient's norm; 0 for none.
        'clip_norm': 0.0,
      },
      'train': {
        # Studies of a step, over all devices.
        'batch_size': 16,
        'epochs': 100,
        # Stop after so many epochs without a better validation score.
        'patience': 50,
        # Validate, and save a checkpoint, every so many epochs.
        'validate_every': 1,
        # Validation score that picks the checkpoint: bleu_1 to bleu_4,
        # rouge_l, cider or micro_f1 (of findings).
        'select_by': 'bleu_4',
        # Weight of a findings head's loss beside the report's; 0 for no head,
        # as the authors train.
        'findings_weight': 0.0,
        # 'pmap' or 'shard_map'; the results are the same.
        'parallel': 'pmap',
        # TensorBoard rows every so many steps.
        'log_every': 10,
      },
      'decode': {
        # 'beam', 'greedy' or 'sample'.
        'method': 'beam',
        'beam_size': 3,
        # Of 'sample' alone.
        'temperature': 1.0,
        'top_p': 1.0,
      },
      'eval': {
        # Studies written at once, over all devices.
        'batch_size': 16,
        # Resamples of each 95 % interval.
        'bootstrap': 1000,
        # Studies shown in report.html.
        'examples': 12,
      },
    }
  )
  classification.set_training(config)
  return config
