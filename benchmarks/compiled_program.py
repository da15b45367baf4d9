"""What a compiled XLA program says of itself: collectives, loops, HBM traffic.

Reads the text of an optimised HLO module (`compiled.as_text()`).
"""

import dataclasses
import re

COLLECTIVES = (
  'all-reduce',
  'all-gather',
  'reduce-scatter',
  'all-to-all',
  'collective-permute',
  'collective-broadcast',
)
# These name bytes without moving any.
_FREE = (
  'parameter',
  'constant',
  'tuple',
  'get-tuple-element',
  'bitcast',
  'while',
  'conditional',
)
# These read as much of their first operand as they return.
_SLICES = ('slice', 'dynamic-slice', 'gather')
_TYPE_BYTES = {'pred': 1, 'bf16': 2, 'c64': 8, 'c128': 16}
_ARRAY = re.compile(r'\b(pred|bf16|[suf]\d+|c\d+)\[([\d,]*)\](\{[^}]*\})?')
_INSTRUCTION = re.compile(r'\s*(?:ROOT )?%?([\w.\-]+) = (.*?) ([\w\-]+)\((.*)$')
_COMPUTATION = re.compile(r'(ENTRY )?%?([\w.\-]+) .*\{$')
_COMMENT = re.compile(r'/\*.*?\*/')


@dataclasses.dataclass(frozen=True)
class Array:
  """One array of an instruction's result.

  Attributes:
    bytes: its size.
    in_hbm: False for what the compiler keeps in a faster memory (VMEM).
  """

  bytes: int
  in_hbm: bool


@dataclasses.dataclass(frozen=True)
class Instruction:
  """One line of a computation.

  Attributes:
    opcode: such as 'fusion' or 'all-reduce-start'.
    result: the arrays that it returns.
    operands: names of the instructions whose results it takes.
    text: the operands and attributes as printed.
  """

  name: str
  opcode: str
  result: tuple[Array, ...]
  operands: tuple[str, ...]
  text: str

  @property
  def bytes(self) -> int:
    """Of all arrays of the result."""
    return sum(array.bytes for array in self.result)

  def called(self, attribute: str) -> str:
    """Name of the computation that is its `attribute` ('calls', 'body')."""
    return re.search(rf'\b{attribute}=%?([\w.\-]+)', self.text).group(1)


@dataclasses.dataclass(frozen=True)
class Collective:
  """One exchange between devices.

  Attributes:
    kind: one of COLLECTIVES.
    arrays: how many travel together.
    bytes: of all of them, on one device.
    source: the operation that it comes from, as JAX names it.
  """

  kind: str
  arrays: int
  bytes: int
  source: str


@dataclasses.dataclass(frozen=True)
class Loop:
  """A loop of the entry computation, of which cost analysis counts one pass.

  Attributes:
    passes: at most so many; a loop that ends early takes fewer.
    hbm_bytes: read and written by one pass, with the loops inside it.
    source: the operation that it comes from, as JAX names it.
  """

  passes: int
  hbm_bytes: int
  source: str


class Program:
  """The computations of one optimised HLO module."""

  def __init__(self, text: str):
    self._computations: dict[str, dict[str, Instruction]] = {}
    body = {}
    for line in text.splitlines():
      header = _COMPUTATION.match(line)
      if header:
        body = self._computations[header.group(2)] = {}
        if header.group(1):
          self._entry = body
      elif line.startswith((' ', '\t')):
        instruction = _parse(line)
        if instruction is not None:
          body[instruction.name] = instruction

  def collectives(self) -> list[Collective]:
    """All of them, also those inside loops, in the order of the text."""
    found = []
    for body in self._computations.values():
      for one in body.values():
        kind = one.opcode.removesuffix('-start')
        if kind not in COLLECTIVES:
          continue
        sent = [a for name in one.operands for a in body[name].result]
        found.append(
          Collective(
            kind, len(sent), sum(a.bytes for a in sent), _source(one.text)
          )
        )
    return found

  def loops(self) -> list[Loop]:
    """The loops of the entry computation."""
    return self._loops(self._entry)

  def hbm_bytes(self) -> int:
    """Bytes that one run reads from and writes to HBM, loops to their end.

    Operands and results of each instruction, those in faster memories left
    out; of a slice, what it takes.
    """
    return self._whole_traffic(self._entry)

  def largest_array(self) -> int:
    """Bytes of the largest array that any instruction returns."""
    return max(
      array.bytes
      for body in self._computations.values()
      for one in body.values()
      for array in one.result
    )

  def _passes(self, loop: Instruction) -> int:
    """The largest number that the loop's condition compares with."""
    condition = self._computations[loop.called('condition')]
    bounds = [
      int(re.match(r'\d+', one.text).group())
      for one in condition.values()
      if one.opcode == 'constant' and re.match(r'\d+\)', one.text)
    ]
    return max(bounds, default=1)

  def _loops(self, body: dict[str, Instruction]) -> list[Loop]:
    return [
      Loop(
        self._passes(one),
        self._whole_traffic(self._computations[one.called('body')]),
        _source(one.text),
      )
      for one in body.values()
      if one.opcode == 'while'
    ]

  def _whole_traffic(self, body: dict[str, Instruction]) -> int:
    """Of a computation with the loops in it."""
    looped = sum(loop.passes * loop.hbm_bytes for loop in self._loops(body))
    return self._traffic(body) + looped

  def _traffic(self, body: dict[str, Instruction]) -> int:
    total = 0
    for one in body.values():
      if one.opcode in _FREE or one.opcode.endswith('-done'):
        continue
      total += self._written(one)
      for index, name in enumerate(one.operands):
        if name in body:
          total += self._read(one, index, body[name])
    return total

  def _written(self, one: Instruction) -> int:
    """Bytes of an instruction's result that go to HBM."""
    if one.opcode.endswith('-start'):  # its result names the operand, too
      return _in_hbm(one.result[1:2])
    return _in_hbm(one.result)

  def _read(self, one: Instruction, index: int, operand: Instruction) -> int:
    """Bytes of operand `index` that an instruction reads from HBM."""
    whole = _in_hbm(operand.result)
    if one.opcode.removesuffix('-start') in _SLICES and index == 0:
      taken = one.result[1:2] if one.opcode.endswith('-start') else one.result
      return min(whole, sum(array.bytes for array in taken))
    if one.opcode != 'fusion':
      return whole
    fused = self._computations[one.called('calls')]
    inside = next(
      name
      for name, i in fused.items()
      if i.opcode == 'parameter' and i.text.startswith(f'{index})')
    )
    users = [i for i in fused.values() if inside in i.operands]
    if users and all(
      i.opcode in _SLICES and i.operands[0] == inside for i in users
    ):
      return min(whole, sum(i.bytes for i in users))
    return whole


def _in_hbm(arrays) -> int:
  return sum(array.bytes for array in arrays if array.in_hbm)


def _parse(line: str) -> Instruction | None:
  match = _INSTRUCTION.match(_COMMENT.sub('', line))
  if match is None:
    return None
  name, result, opcode, text = match.groups()
  operands = re.findall(r'%([\w.\-]+)', re.split(r'\)(?:, |$)', text)[0])
  return Instruction(name, opcode, _arrays(result), tuple(operands), text)


def _arrays(text: str) -> tuple[Array, ...]:
  found = []
  for kind, sizes, layout in _ARRAY.findall(text):
    size = _TYPE_BYTES.get(kind) or max(int(kind[1:]) // 8, 1)
    for axis in filter(None, sizes.split(',')):
      size *= int(axis)
    # S(n) is a memory space; the default, HBM, is not printed.
    found.append(Array(size, 'S(' not in layout))
  return tuple(found)


def _source(text: str) -> str:
  match = re.search(r'op_name="([^"]*)"', text)
  return match.group(1) if match else ''
