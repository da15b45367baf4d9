"""Sections of a report's plain text, by their headings in capitals.

As MIMIC-CXR's own splitter has it: a heading that names the view is one of
findings, a misspelt one is that which it nearly is.
"""

import difflib
import re

# A heading starts a line: capitals, and a colon behind them.
_HEADING = re.compile(r'^[ \t]*([A-Z][A-Z /,()&-]{2,60}?)[ \t]*:', re.MULTILINE)
_NAMES = {
  'findings': re.compile(r'^findings?\b|\bfindings?$'),
  'impression': re.compile(r'^(impressions?|conclusions?)\b|\bimpressions?$'),
  'indication': re.compile(r'^(indications?|history|clinical|reason)\b'),
  'comparison': re.compile(r'^comparisons?\b'),
}
_OTHERS = re.compile(
  r'\b(exam|examination|technique|procedure|study|recommendations?|addendum'
  r'|notification|wet read|report|date|time|dose|comments?|note|type|surgeon'
  r'|diagnosis|attestation|preamble|symptoms|summary)\b'
)
_VIEWS = re.compile(
  r'\b(chest|portable|views?|frontal|lateral|pa|ap|upright|supine|radiographs?'
  r'|film|cxr)\b'
)
_WORDS = ('findings', 'impression', 'indication', 'comparison', 'conclusion')
# A heading that begins no section is a line of the one it is in: 'LUNGS:'.
_PARTS_OF = {
  'findings': (None, 'view'),
  'view': (None,),
  'impression': (None,),
}


def cut_sections(text: str) -> dict[str, str]:
  """{'findings', 'impression', 'indication', 'comparison'}: as far as there.

  Runs of blanks and line ends become one blank. Of sections with the same name
  the last one that is not empty is taken: an addendum comes first. A heading
  such as FINDINGS AND IMPRESSION counts as findings, one that names the view
  only where no other does.
  """
  text = text.replace('\r\n', '\n').replace('\r', '\n')
  headings = list(_HEADING.finditer(text))
  parts = [[None, '']]
  for n, heading in enumerate(headings):
    end = headings[n + 1].start() if n + 1 < len(headings) else len(text)
    name, (last, so_far) = _name_of(heading[1]), parts[-1]
    if last == 'findings' and name == 'view' and not so_far.strip():
      parts[-1][1] = text[heading.end() : end]
    elif name in _PARTS_OF.get(last, ()):
      parts[-1][1] += text[heading.start() : end]
    else:
      parts.append([name, text[heading.end() : end]])
  sections = {}
  for name, body in parts:
    body = ' '.join(body.split())
    if name and body:
      sections[name] = body
  view = sections.pop('view', None)
  sections.pop('other', None)
  return ({'findings': view} if view else {}) | sections


def _name_of(heading):
  """The section that a heading begins; None if it can be a part of one."""
  heading = heading.strip().lower()
  for name, form in _NAMES.items():
    if form.search(heading):
      return name
  if _OTHERS.search(heading):
    return 'other'
  if _VIEWS.search(heading):
    return 'view'
  near = difflib.get_close_matches(heading.split()[0], _WORDS, 1, 0.75)
  return _name_of(near[0]) if near else None
