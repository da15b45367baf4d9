"""docs/parity.md, written from the rows that were measured."""

from tests.parity.results import NO_LIMIT, Row, table

ORDER = (
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
)

_PAGE = """\
# Parity with R2GenCMN

The authors' own code ([zhjohnchan/R2GenCMN](https://github.com/zhjohnchan/\
R2GenCMN)) and ours, on the same weights and inputs. This page is written by

    make parity R2GENCMN=path/to/R2GenCMN \\
      FLAGS='--annotation annotation.json --films DIR'

and was last written with {versions}.

{summary}

{table}
{missing}
## How it is measured

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
- Where a report differs in float32, rounding chose between two beams: in
  float64 both write the same for these very studies.
- `base` and `mem` have no public code. They are compared with a torch twin
  written from the paper (`tests/parity/twin.py`).

## Around their code

Their modules run as they are, but for what a CPU and a clock demand: `.cuda()`
does nothing; `torchvision` is a stub with a ResNet of the same geometry and
names; `cv2` is empty; the METEOR jar comes from the pip package
`pycocoevalcap`. At each word their decoding projects the whole memory anew for
every beam and answers all words so far, and uses the last answer alone; the
harness leaves out what is thrown away, and the rows "as written" run without
that shortcut. What they answered is kept by a digest of weights, inputs and
their code, so that a run that was cut short goes on.

## Where we differ on purpose

- With a beam of 1 their decoding lowers words that would repeat a trigram
  (`--block_trigrams 1`, the default). Ours does not; the comparison sets it
  to 0. With a beam of 3, the published setting, it does nothing in theirs.
- `data.flip` is False here: they mirror training films and keep the report's
  left and right.
- The batch statistics of padding films are left out; they have no padding,
  but a smaller last batch.
"""


def page(rows: list[Row], missing: list[str], versions: str) -> str:
  """The whole page; it names the checks that were not run."""
  note = ''
  if missing:
    note = (
      f'\nNot measured yet: {", ".join(missing)} (`--only NAME` runs one).\n'
    )
  return _PAGE.format(
    summary=_summary(rows), table=table(rows), missing=note, versions=versions
  )


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
