"""Damages to bytes, blind ones and ones that know the form of a file."""

import gzip
import io
import json
import re
import struct
import warnings
import zipfile
import zlib
from random import Random

import pydicom
from pydicom.datadict import tag_for_keyword

_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**32 - 1, 2**63)
_WORDS = (
  *(b'', b'nan', b'-1', b'1e308', b'9' * 400, b'\xff\xfe', b'\0', b'"', b"'"),
  *(b'\xed\xa0\x80', b'../../x', b'/etc/passwd', b'C:\\a\\b', b'a' * 5_000),
  *(b'\n', b';', b',,,', b'<a>', b'&x;', b'[' * 3_000, b'{"a":' * 3_000),
  *('é\u2028'.encode(), b'NaN', b'Infinity', b'null', b'\\ud800', b'\r'),
)
_VALUES = (
  *(None, True, [], {}, '', 0, -1, 2**63, 10**400, 1e308, float('nan')),
  *('\ud800', '\0', '../x', '/', 'x' * 70_000, '.', [[]], {'': None}, [None]),
  *(['a', 'a'], float('inf'), 0.5, '1_IM-2-3', 10**9),
)
_SYNTAXES = [str(uid) for uid in pydicom.uid.AllTransferSyntaxes]
_VOI = ('WindowCenter', 'WindowWidth', 'RescaleSlope', 'RescaleIntercept')
_ADDED = (
  *_VOI,
  *('PixelPaddingValue', 'PixelPaddingRangeLimit', 'NumberOfFrames'),
  *('PlanarConfiguration', 'VOILUTFunction', 'SpecificCharacterSet'),
)


def mutated(content: bytes, name: str, rng: Random) -> bytes:
  """The bytes with a damage or several, by what the file's name says it is."""
  known = next((f for ends, f in _FORMS if name.endswith(ends)), None)
  if known and rng.random() < 0.7:
    for _ in range(rng.choice((1, 1, 2, 4))):
      content = known(content, rng)
    return content
  return _blind(content, rng)


def _blind(content: bytes, rng: Random) -> bytes:
  for _ in range(rng.choice((1, 1, 2, 4, 16))):
    size = len(content)
    reach = size if rng.random() < 0.5 else min(size, 512)
    a = rng.randrange(reach + 1)
    b = min(size, a + rng.choice((1, 2, 4, 8, 64, 1024)))
    new = rng.choice((
      bytes(c ^ 1 << rng.randrange(8) for c in content[a : a + 1]),
      rng.randbytes(b - a),
      b'',
      content[a:b] * 2,
      rng.choice(_WORDS),
      content[a:b] + rng.randbytes(rng.choice((1, 7, 100))),
      _number(rng),
    ))  # fmt: skip
    keep = a + (len(new) if len(new) in (1, 2, 4, 8) else b - a)
    content = content[:a] + (
      b'' if rng.random() < 0.1 else new + content[keep:]
    )
  return content


def _number(rng):
  order, kind = rng.choice('<>'), rng.choice('BHIQ')
  most = (1 << 8 * struct.calcsize(kind)) - 1
  return struct.pack(order + kind, rng.choice(_NUMBERS) & most)


def _text(content: bytes, rng: Random) -> bytes:
  """Another word for one, or a line or cell that is gone or there twice."""
  spans = [
    m.span() for m in re.finditer(rb'[^\s,;<>"=/]+|[,;<>"=/]|\n', content)
  ]
  if not spans:
    return _blind(content, rng)
  (a, b), (c, d) = rng.choice(spans), rng.choice(spans)
  new = rng.choice((rng.choice(_WORDS), content[c:d], content[a:b] * 2))
  return content[:a] + new + content[b:]


def _json(content: bytes, rng: Random) -> bytes:
  try:
    tree = json.loads(content)
  except (ValueError, RecursionError):
    return _blind(content, rng)
  places, queue = [], [tree]
  while queue:
    part = queue.pop()
    if isinstance(part, dict | list):
      keys = part if isinstance(part, dict) else range(len(part))
      places += [(part, key) for key in keys]
      queue += [part[key] for key in keys]
  if not places or rng.random() < 0.03:
    return json.dumps(rng.choice(_VALUES)).encode()
  part, key = rng.choice(places)
  other, name = rng.choice(places)
  act = rng.random()
  if act < 0.2:
    del part[key]
  elif act < 0.3:
    part[key] = json.loads(json.dumps(other[name]))
  else:
    part[key] = rng.choice(_VALUES)
  return json.dumps(tree).encode()


def _lines(content: bytes, rng: Random) -> bytes:
  lines = content.split(b'\n')
  place = rng.randrange(len(lines))
  lines[place] = _json(lines[place], rng)
  return b'\n'.join(lines)


def _png(content: bytes, rng: Random) -> bytes:
  """A chunk damaged, its checksum right."""
  chunks, place = [], 8
  while place + 12 <= len(content):
    (length,) = struct.unpack('>I', content[place : place + 4])
    chunks.append(content[place + 4 : place + 8 + length])
    place += 12 + length
  if not chunks:
    return _blind(content, rng)
  n = rng.randrange(len(chunks))
  body = chunks[n][4:]
  if chunks[n][:4] == b'IDAT' and rng.random() < 0.5:
    try:
      body = zlib.compress(_blind(zlib.decompress(body), rng))
    except zlib.error:
      body = _blind(body, rng)
  else:
    body = _blind(body, rng)
  chunks[n : n + 1] = [chunks[n][:4] + body] * rng.choice((1, 1, 1, 0, 2))
  return content[:8] + b''.join(
    struct.pack('>I', len(c) - 4) + c + struct.pack('>I', zlib.crc32(c))
    for c in chunks
  )


def _tgz(content: bytes, rng: Random) -> bytes:
  """A header's field damaged, its checksum right; or what is in a member."""
  try:
    tar = bytearray(gzip.decompress(content))
  except (OSError, EOFError, zlib.error):
    return _blind(content, rng)
  heads = [
    n for n in range(0, len(tar), 512) if tar[n + 257 : n + 262] == b'ustar'
  ]
  if not heads or rng.random() < 0.3:
    return gzip.compress(_blind(bytes(tar), rng), 1)
  head = rng.choice(heads)
  a, size = rng.choice(
    ((0, 100), (100, 8), (124, 12), (124, 12), (136, 12), (156, 1), (345, 155))
  )
  word = rng.choice((
    *_WORDS, b'77777777777\0', b'\xff' * 12, b'\x80' + b'\xff' * 11, b'0' * 11,
    *b'0 1 2 3 4 5 6 7 L K x g S'.split(), b'-0000000010',
  ))[:size]  # fmt: skip
  tar[head + a : head + a + len(word)] = word
  tar[head + 148 : head + 156] = b' ' * 8
  total = sum(tar[head : head + 512])
  tar[head + 148 : head + 156] = b'%06o\0 ' % total
  return gzip.compress(bytes(tar), 1)


def _zip(content: bytes, rng: Random) -> bytes:
  """A member damaged, its checksum right."""
  out = io.BytesIO()
  try:
    with zipfile.ZipFile(io.BytesIO(content)) as old:
      members = [(one.filename, old.read(one)) for one in old.infolist()]
  except Exception:  # It was damaged before.
    return _blind(content, rng)
  chosen = rng.randrange(len(members)) if members else None
  with warnings.catch_warnings(), zipfile.ZipFile(out, 'w') as new:
    warnings.simplefilter('ignore')  # a name may be there twice
    for n, (name, body) in enumerate(members):
      if n == chosen:
        act = rng.random()
        if act < 0.1:
          continue
        if act < 0.3:
          name = rng.choice(_WORDS).decode('latin-1')[:300].strip('\0') or 'x'
        body = mutated(body, name, rng) if act > 0.2 else body
      new.writestr(name, body)
  return out.getvalue()


def _safetensors(content: bytes, rng: Random) -> bytes:
  size = int.from_bytes(content[:8], 'little')
  head = _json(content[8 : 8 + size], rng)
  return len(head).to_bytes(8, 'little') + head + content[8 + size :]


def _dicom(content: bytes, rng: Random) -> bytes:
  """An element that is gone, new, or holds something else."""
  try:
    dicom = pydicom.dcmread(io.BytesIO(content), force=True)
    act, name = rng.random(), rng.choice(_ADDED)
    element = rng.choice(list(dicom))
    if act < 0.15:
      dicom.file_meta.TransferSyntaxUID = rng.choice(_SYNTAXES)
    elif act < 0.3:
      del dicom[element.tag]
    elif act < 0.5:
      text = rng.choice((*_WORDS, b'1\\2', b'10', b'LINEAR', b'SIGMOID', b'-5'))
      dicom.add_new(tag_for_keyword(name), 'UN', text)
      dicom[tag_for_keyword(name)].VR = rng.choice(('DS', 'LO', 'UN', 'IS'))
    elif element.VR == 'US':
      element.value = rng.choice(_NUMBERS) & 0xFFFF
    elif isinstance(element.value, bytes):
      element.value = _blind(element.value, rng)
    else:
      text = rng.choice((*_WORDS, b'MONOCHROME1', b'RGB', b'YBR_FULL_422'))
      element.VR, element.value = 'UN', text
    out = io.BytesIO()
    dicom.save_as(out)
    return out.getvalue()
  except Exception:  # pydicom does not write all that can be thought of.
    return _blind(content, rng)


_FORMS = (
  ('.png', _png),
  ('.dcm', _dicom),
  (('.csv', '.xml'), _text),
  (('.json', 'metadata'), _json),
  ('.jsonl', _lines),
  ('.tgz', _tgz),
  (('.zip', '.pth'), _zip),
  ('.safetensors', _safetensors),
)
