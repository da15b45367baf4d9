import numpy as np
import pytest

from input_pipeline.findings import read_findings
from input_pipeline.findings.sides import swap_sides
from input_pipeline.phantom.report import write_report
from input_pipeline.phantom.sampling import sample_findings


@pytest.mark.parametrize(
  'text, swapped',
  [
    ('A small left effusion.', 'A small right effusion.'),
    ('Left-sided port; RIGHT base.', 'Right-sided port; LEFT base.'),
    ('left , right and leftward .', 'right , left and rightward .'),
    ('rightwards, leftmost, rightsided', 'leftwards, rightmost, leftsided'),
    ('a right-to-left shift of it', 'a left-to-right shift of it'),
    ("the left's size, (right)", "the right's size, (left)"),
    ('Lt. RUL and lll opacity', 'Rt. LUL and rll opacity'),
    ('mild dextroscoliosis', 'mild levoscoliosis'),
    ('Levo-convex curvature', 'Dextro-convex curvature'),
    # Words with no side, and those that only begin or end as one.
    ('upright film, bright lungs', 'upright film, bright lungs'),
    ('rightly, leftover, aright', 'rightly, leftover, aright'),
    ('alt, art, still, rlls', 'alt, art, still, rlls'),
    ('dextrocardia, levofloxacin', 'dextrocardia, levofloxacin'),
    ('', ''),
  ],
)
def test_sides_are_swapped_word_by_word_and_back(text, swapped):
  assert swap_sides(text) == swapped
  assert swap_sides(swapped) == text


def test_a_mirrored_report_says_the_same_of_the_other_side():
  other = {'left': 'right', 'right': 'left'}
  sided = 0
  for seed in range(40):
    rng = np.random.default_rng(seed)
    report = write_report(sample_findings(rng), rng)
    found = read_findings(report)
    mirrored = read_findings(swap_sides(report))
    assert [f.name for f in found] == [f.name for f in mirrored]
    for one, same in zip(found, mirrored, strict=True):
      assert same.side == other.get(one.side, one.side)
      sided += one.side in other
  assert sided > 20
