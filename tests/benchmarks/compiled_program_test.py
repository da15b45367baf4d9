"""Collectives, loops and HBM traffic read from a program's text."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.compiled_program import Collective, Loop, Program

# As the TPU compiler prints it: S(1) is the chip's fast memory.
HLO = """HloModule jit_step, is_scheduled=true

%fused (param_0: f32[64,8], param_1: s32[]) -> f32[8] {
  %param_0 = f32[64,8]{1,0} parameter(0)
  %param_1 = s32[] parameter(1)
  ROOT %row = f32[1,8]{1,0} dynamic-slice(%param_0, %param_1, %param_1)
}

%condition (state: (s32[], f32[10])) -> pred[] {
  %bound = s32[] constant(32)
  %state = (s32[], f32[10]{0}) parameter(0)
  %i = s32[] get-tuple-element(%state), index=0
  ROOT %lt = pred[] compare(%i, %bound), direction=LT
}

%body (state.1: (s32[], f32[10])) -> (s32[], f32[10]) {
  %state.1 = (s32[]{S(6)}, f32[10]{0}) parameter(0)
  %i.1 = s32[]{S(6)} get-tuple-element(%state.1), index=0
  %x.1 = f32[10]{0} get-tuple-element(%state.1), index=1
  %twice = f32[10]{0} add(%x.1, %x.1), metadata={op_name="a/b"}
  ROOT %out = (s32[]{S(6)}, f32[10]{0}) tuple(%i.1, %twice)
}

ENTRY %main (a: f32[64,8], b: bf16[100]) -> f32[8] {
  %a = f32[64,8]{1,0:T(8,128)} parameter(0)
  %b = bf16[100]{0:T(256)(2,1)S(1)} parameter(1)
  %zero = s32[] constant(0)
  %row.1 = f32[1,8]{1,0} fusion(%a, %zero), kind=kLoop, calls=%fused
  %start = (s32[]{S(6)}, f32[10]{0}) tuple(%zero, %row.1)
  %loop = (s32[]{S(6)}, f32[10]{0}) while(%start), condition=%condition, \
body=%body, metadata={op_name="memory/while"}
  %sums = (f32[64,8]{1,0}, bf16[100]{0:S(1)}) all-reduce(%a, /*index=1*/%b), \
to_apply=%add, metadata={op_name="psum"}
  ROOT %first = f32[64,8]{1,0} get-tuple-element(%sums), index=0
}
"""


def test_collectives_with_their_bytes():
  assert Program(HLO).collectives() == [
    Collective('all-reduce', 2, 64 * 8 * 4 + 200, 'psum')
  ]


def test_a_loop_is_counted_to_its_end():
  # A pass reads x twice, as two operands, and writes it.
  assert Program(HLO).loops() == [Loop(32, 120, 'memory/while')]


def test_a_loop_within_a_loop_is_counted_to_its_end_each_time():
  outer = """
%passes (state.2: (s32[], f32[10])) -> pred[] {
  %four = s32[] constant(4)
  ROOT %lt.1 = pred[] compare(%four, %four), direction=LT
}

%parts (state.3: (s32[], f32[10])) -> (s32[], f32[10]) {
  %state.3 = (s32[]{S(6)}, f32[10]{0}) parameter(0)
  ROOT %inner = (s32[]{S(6)}, f32[10]{0}) while(%state.3), \
condition=%condition, body=%body, metadata={op_name="memory/while"}
}

ENTRY"""
  program = HLO.replace('\nENTRY', outer).replace(
    'condition=%condition, body=%body, metadata={op_name="memory/while"}\n  %s',
    'condition=%passes, body=%parts, metadata={op_name="parts/while"}\n  %s',
  )
  assert Program(program).loops() == [Loop(4, 32 * 120, 'parts/while')]


def test_traffic_leaves_out_fast_memory_and_what_a_slice_does_not_take():
  row = 32 + 4 + 32  # a's row, the index, the result
  sums = 2 * 64 * 8 * 4
  assert Program(HLO).hbm_bytes() == row + sums + 32 * 120


def test_the_largest_array():
  assert Program(HLO).largest_array() == 64 * 8 * 4


@pytest.mark.parametrize(
  'topology, says',
  [
    ('v99:2x2', 'error: --topology v99:2x2 names no known chip: expected one'),
    ('v5e:2x4', "error: libtpu, the TPU's compiler, is not installed here: "),
  ],
)
def test_tpu_check_tells_its_faults_in_one_sentence(topology, says, tmp_path):
  (tmp_path / 'libtpu.py').write_text('raise ImportError')
  process = subprocess.run(
    [
      sys.executable,
      *('-m', 'benchmarks.tpu', '--config', 'configs/phantom.py:cmn'),
      *('--topology', topology),
    ],
    cwd=Path(__file__).parents[2],
    env={**os.environ, 'PYTHONPATH': str(tmp_path)},
    capture_output=True,
    text=True,
  )
  assert process.returncode != 0
  assert process.stdout == ''
  assert process.stderr.strip().splitlines()[-1].startswith(says)
