"""docs/parity.md, written from the rows that were measured."""

import dataclasses
import textwrap
from collections.abc import Mapping

from tests.parity.results import NO_LIMIT, Check, Row, table

_HEAD = """\
# Parity with the authors' code

The authors' own code and ours, on the same weights and inputs. This page is
written by

    make parity R2GENCMN=path/to/R2GenCMN EKAGEN=path/to/EKAGen \\
      FLAGS='--annotation annotation.json --films DIR'

which keeps what it measured in `parity.json`, beside this page. Either checkout
may be left out: what was not run stays as it was.
"""

_R2GENCMN = """\
### How it is measured

- Published sizes: ResNet-101, 224 pixels, 2,048 x 512 memory, 32 slots to a
  query, 760 words and the 0. Small: ResNet-18 of 16 channels, 64 pixels,
  128 x 64 memory, 79 words.
- Weights and films are random, drawn by `tests/parity/draw.py`: attention
  scores of a few units, a memory whose answers are as large as what they are
  added to, reports that differ, that end early and that reach the limit.
- The small trained model is the authors' model, trained on the built-in
  phantom by their loss and optimizer, saved as their trainer saves it,
  converted by `python -m cmn_jax.convert r2gencmn` and loaded by `Reporter`.
- Training runs without dropout (no two programs draw the same), with the
  authors' loss, optimizer and StepLR, whose rate falls after steps 8 and 16.
- A key's bias moves all scores of a query alike, and softmax does not see it:
  its gradient is 0 in truth, and what both programs hold there is rounding.
  Such arrays are compared with the largest gradient, not with themselves.
- 20 steps amplify rounding. Adam divides a gradient by its own history, so that
  an element whose gradient is near 0 moves by the whole rate, to the side that
  rounding chooses; and then a rectifier, a pooled pixel or a memory slot that
  stood on its edge tips over, and other gradients change for good. The rows
  "for scale" show the authors' code against itself, in float32, after a change
  in the last bit of its weights. The rows "in float64" leave rounding out: both
  programs compute in float64, from one table of positions, and there the first
  gradient is held to 1e-6, and so are the same 20 steps of the small models; at
  the published sizes there are 4 steps, held to the 1e-3 of float32.
- At the published depth float32 is too coarse for a gradient to 1e-3, on either
  side. Rounding opens and closes rectifiers that stand near 0; where one in a
  million does so in each of a hundred layers, the gradient moves by about the
  square root of that share, layer upon layer. The authors' code in float32 is
  as far from itself in float64 as ours is from it (the row "for scale"). With
  smaller residual branches and batch statistics that fit the films, drawn so in
  a trial, it was 1.5e-2 against 1.6e-2: better, and still not 1e-3. The rows in
  float64 compare the programs.
- With beam 3 in float32 all reports are the same on an Intel Xeon, whose rows
  stand above; on an AMD EPYC 2 of the 208 differed, where rounding chose
  between two beams. In float64 both write the same for these very studies.
- With one view one of the drawn studies stands on an edge, such as that of the
  top k of the memory's slots: theirs in float32 is 8.5e-4 from itself in
  float64. On an AMD EPYC ours falls to the same side; on an Intel Xeon to the
  other, 8.4e-4 from theirs in float32 and 5.8e-5 from theirs in float64. So it
  is with `mem`'s gradient: on the Xeon 3.2e-3 from the twin, which is as far
  from itself in float64 on both; in float64 ours and the twin differ by 5e-14.
  The other rows of the small models drawn were within their limits there too.
- `base` and `mem` have no public code. They are compared with a torch twin
  written from the paper (`tests/parity/twin.py`).

### Around their code

Their modules run as they are, but for what a CPU and a clock demand: `.cuda()`
does nothing; `torchvision` is a stub with a ResNet of the same geometry and
names; `cv2` is empty; the METEOR jar comes from the pip package
`pycocoevalcap`. At each word their decoding projects the whole memory anew for
every beam and answers all words so far, and uses the last answer alone; the
harness leaves out what is thrown away, and the rows "as written" run without
that shortcut. What they answered is kept by a digest of weights, inputs and
their code, so that a run that was cut short goes on.

### Where we differ on purpose

- With a beam of 1 their decoding lowers words that would repeat a trigram
  (`--block_trigrams 1`, the default). Ours does not; the comparison sets it
  to 0. With a beam of 3, the published setting, it does nothing in theirs.
- `data.flip` is False here: they mirror training films and keep the report's
  left and right.
- The batch statistics of padding films are left out; they have no padding,
  but a smaller last batch.
"""

_EKAGEN = """\
### How it is measured

- Published sizes: ResNet-101 with a dilated last stage, 300 pixels, 6 + 6
  layers of width 256, 128 positions, 760 ids. Small: 75 pixels, one block to a
  stage and three in the dilated one, 2 + 2 layers of width 32, 16 positions.
- Weights, films, knowledge and reports are random, drawn by
  `tests/parity/ekagen_draw.py` so that films and knowledge decide the words:
  the rows "for scale" give the mean change of a log-probability where a study
  gets another one's.
- At full depth float32 alone moves a log-probability: with the last layer drawn
  four times as loud (log-probabilities down to -40, of deviation 5.3) theirs in
  float32 was up to 1.5e-4 from itself in float64, and ours 2.5e-4. Of the
  published size that layer is a quarter of the small one's.
- Gradients are of their whole loss, cross-entropy and 0.01 of the distillation
  from a drawn teacher, pads counted. Ten are held to a limit each; the worst of
  all stands beside them, as does what float32 loses on either side. A key's
  bias has a gradient of 0 in truth, and what is held there is rounding.
- The rows "in float64" leave rounding out: both programs compute in float64,
  from one table of places.
- Losses without pads are not in their code: the rows compare with torch's own
  cross-entropy, and with their distillation of the rows that are left.
- Greedy reports are compared over all 126 words, as their loop never stops,
  and up to the end, as ours does.
- Masks are made by their functions from drawn maps of 10 x 10; the classifiers
  are compared at 224 and 300 pixels, and the locator's gradient of a class in
  closed form with torch's own.
- Words: their tokenizer and ours on the whole annotation of IU X-Ray.

### Around their code

Their modules run as they are; `torchvision` is a stub with a ResNet of the same
geometry and names. In evaluation their decoding runs the whole network once for
each word of a report; the harness keeps the encoded films over the words, and
the rows "nothing shared" run without that.

### Where we differ on purpose

- `ekagen.compat` is True here in all that it names; the defaults are others,
  each said in `configs/`.
- A report ends at its end, and no batch of a test split is left out.
- A mask shows where the locator looks however sure of a class it is: above a
  probability of 0.999 theirs fades with p (1 - p), to nothing where that is 0.
"""


@dataclasses.dataclass(frozen=True)
class Part:
  """The part of the page about one project.

  Attributes:
    name: of the project.
    repository: on GitHub.
    checks: their names, in the order of the table.
    words: Markdown that stands below it.
  """

  name: str
  repository: str
  checks: tuple[str, ...]
  words: str


PARTS = {
  'r2gencmn': Part(
    'R2GenCMN',
    'zhjohnchan/R2GenCMN',
    (
      'log_probs',
      'reports_beam',
      'reports_greedy',
      'reports_double',
      'training',
      'training_double',
      'checkpoint',
      'small_log_probs',
      'small_reports',
      'small_training',
      'small_training_double',
      'trained',
      'base',
      'base_double',
      'mem',
      'mem_double',
      'tokenizer',
      'films',
    ),
    _R2GENCMN,
  ),
  'ekagen': Part(
    'EKAGen',
    'hnjzbss/EKAGen',
    (
      'ekagen_log_probs',
      'ekagen_losses',
      'ekagen_gradients',
      'ekagen_double',
      'ekagen_writing',
      'ekagen_literal',
      'ekagen_checkpoint',
      'ekagen_bot',
      'ekagen_locator',
      'ekagen_locator_gradients',
      'ekagen_masks',
      'ekagen_words',
      'ekagen_small_log_probs',
      'ekagen_small_losses',
      'ekagen_small_gradients',
      'ekagen_small_double',
      'ekagen_small_writing',
      'ekagen_small_literal',
      'ekagen_small_checkpoint',
    ),
    _EKAGEN,
  ),
}


def page(found: Mapping[str, Check]) -> str:
  """The whole page, of checks by name; it names those that were not run."""
  return '\n'.join([_HEAD, *(_section(part, found) for part in PARTS.values())])


def _section(part: Part, found: Mapping[str, Check]) -> str:
  run = {name: found[name] for name in part.checks if name in found}
  missing = [name for name in part.checks if name not in found]
  rows = [row for check in run.values() for row in check.rows]
  blocks = [
    f'## {part.name}',
    f'[{part.repository}](https://github.com/{part.repository}).',
  ]
  if run:
    blocks += [_versions(run), _summary(rows), table(rows)]
  if missing:
    blocks.append(
      _wrapped(
        f'Not measured yet: {", ".join(missing)} (`--only NAME` runs one).'
      )
    )
  return '\n\n'.join([*blocks, part.words])


def _versions(run: Mapping[str, Check]) -> str:
  """What the rows were measured with; by check where that differs."""
  names = {}
  for name, check in run.items():
    names.setdefault(check.versions, []).append(name)
  if len(names) == 1:
    return _wrapped(f'Measured with {next(iter(names))}.')
  return '\n'.join(
    _wrapped(f'- {", ".join(some)}: measured with {versions}.')
    for versions, some in names.items()
  )


def _wrapped(text: str) -> str:
  return textwrap.fill(text, 80, subsequent_indent='  ' * text.startswith('- '))


def _summary(rows: list[Row]) -> str:
  """How many comparisons are within their limits, and which are not."""
  held = [row for row in rows if row.limit != NO_LIMIT]
  outside = [row for row in held if not row.ok]
  lines = [
    f'{len(held) - len(outside)} of {len(held)} comparisons are within their '
    f'limits{"; outside:" if outside else "."}'
  ]
  if outside:
    lines.append('')
  lines += [
    f'- {row.what}, {row.on}: {row.measured}, where the limit is {row.limit}'
    for row in outside
  ]
  return '\n'.join(lines)
