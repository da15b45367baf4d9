"""Sections of a report's plain text, by their headings in capitals."""

import re

# A heading starts a line: capitals, and a colon behind them.
_HEADING = re.compile(r'^[ \t]*([A-Z][A-Z /,()&-]{2,60}?)[ \t]*:', re.MULTILINE)
_NAMES = {
  'findings': re.compile(r'^findings?\b|\bfindings?$'),
  'impression': re.compile(r'^(impressions?|conclusions?)\b|\bimpressions?$'),
  'indication': re.compile(r'^(indications?|history|clinical|reason)\b'),
  'comparison': re.compile(r'^comparisons?\b'),
}


def cut_sections(text: str) -> dict[str, str]:
  """{'findings', 'impression', 'indication', 'comparison'}: as far as there.

  Runs of blanks and line ends become one blank. Of sections with the same name
  the last one that is not empty is taken: an addendum comes first. A heading
  such as FINDINGS AND IMPRESSION counts as findings.
  """
  text = text.replace('\r\n', '\n').replace('\r', '\n')
  headings = list(_HEADING.finditer(text))
  ends = [heading.start() for heading in headings[1:]] + [len(text)]
  sections = {}
  for heading, end in zip(headings, ends, strict=True):
    name = _name_of(heading[1])
    body = ' '.join(text[heading.end() : end].split())
    if name and body:
      sections[name] = body
  return sections


def _name_of(heading):
  heading = heading.strip().lower()
  return next(
    (name for name, form in _NAMES.items() if form.search(heading)), None
  )
