"""Side, zone and severity: which words belong to which finding."""

import re

from input_pipeline.findings.mentions import (
  Mention,
  whole_words,
  words_between,
)
from input_pipeline.findings.vocabulary import SEVERITIES


def _table(**words_of):
  return {
    word: value for value, words in words_of.items() for word in words.split()
  }


_SIDE_WORDS = _table(
  left='left leftward lingula lingular levo levoscoliosis levocurvature'
  ' levoconvex',
  right='right rightward dextro dextroscoliosis dextrocurvature dextroconvex',
  bilateral='bilateral bilaterally both bibasilar bibasal biapical',
)
_ZONE_WORDS = _table(
  upper='upper apex apices apical biapical',
  mid='mid middle midlung midlungs midzone hilar hilum hila perihilar parahilar'
  ' suprahilar infrahilar lingula lingular',
  lower='lower base bases basal basilar bibasilar bibasal retrocardiac',
)
_SEVERITY_WORDS = _table(
  mild='mild mildly small minimal minimally trace slight slightly subtle tiny'
  ' minor',
  moderate='moderate moderately',
  severe='severe severely large marked markedly massive massively extensive'
  ' extensively',
)
# Plurals that mean both lungs where no side is named.
_PAIRED = whole_words(r'bases|apices|hila')
_BOTH_SIDES = whole_words(
  r'right and left|left and right|(?:right|left) (?:greater|larger|worse|more)'
  r' than (?:the )?(?:right|left)|bilateral (?:right|left)'
)

_JOINTS = r'and|or|with|,|;|/|versus'
_LONGEST_JOINT = 3  # words between findings that are named together
# 'An opacity in the left base may represent pneumonia': one place for both.
_SAME_PLACE = (
  r'(?:may|might|could|to) (?:represent|reflect|be)|represent(?:ing|s)'
  r'|reflect(?:ing|s)|(?:consistent|compatible) with|suggest\w*|due to|likely'
  r'|probably|suspicious for|concerning for'
)
_JOINED = whole_words(_JOINTS)
_INTERPRETED = whole_words(rf'{_SAME_PLACE}|xxxx')
_BOUNDARY = whole_words(
  rf'{_JOINTS}|{_SAME_PLACE}|but|without|which|that|where|after|following'
)
_STARTS_WITH_PREPOSITION = re.compile(
  r' ?(?:\w+ ){0,3}?(?:in|at|on|of|within|involving|overlying|along|over'
  r'|throughout|near|bilaterally)(?!\w)'
)
_ENDS_WITH_PLACE = re.compile(
  r'(?:lobes?|bases?|lungs?|apex|apices|lingula|hilum|zones?|fields?|regions?'
  r'|hemithorax|ribs?|clavicles?|sides?|left|right|bilaterally) ?$'
)
_VERB = whole_words(r'is|are|was|were|has|have|had|there|no')
# What comes before these tells of something else than the finding.
_ASIDE = re.compile(r'.*\b(?:clear|normal|unremarkable|intact|changes)\b')
_SEVERITY_AFTER = re.compile(
  r' ?(?:is|are|appears?|remains?)(?: (?!not? |less )\w+){0,2}?'
  rf' ({"|".join(_SEVERITY_WORDS)})(?!\w)'
)


def read_attributes(
  sentence: str, mentions: list[Mention]
) -> list[list[tuple[str, str, str]]]:
  """[(side, zone, severity), ...] for each mention; '' where not said.

  A mention with several places ('in the left base and right apex') has
  several of them.
  """
  befores, afters = _share_words(sentence, mentions)
  places = [
    _places(f'{before} {mention.text} , {after}')
    for before, mention, after in zip(befores, mentions, afters, strict=True)
  ]
  places = _share_places(words_between(sentence, mentions), places)
  return list(map(_with_severity, places, befores, mentions, afters))


def _share_words(sentence, mentions):
  """The words before and the words after that belong to each mention."""
  if not mentions:
    return [], []
  befores = [sentence[: mentions[0].start]]
  afters = []
  for gap in words_between(sentence, mentions):
    cut = _cut(gap)
    afters.append(gap[:cut])
    befores.append(gap[cut:])
  rest = sentence[mentions[-1].end :]
  afters.append(rest[: _cut(rest, last=True)])
  return [_without_asides(before) for before in befores], afters


def _without_asides(words):
  aside = _ASIDE.match(words)  # a substitution would begin at every letter
  return words[aside.end() :] if aside else words


def _cut(gap, last=False):
  """Where the words after one finding end and those of the next begin."""
  joints = list(_BOUNDARY.finditer(gap))
  ends = [joint.start() for joint in joints] + [len(gap)]
  cut = ends.pop(0)
  if last:
    is_after = True
  else:
    is_after = _STARTS_WITH_PREPOSITION.match(gap[:cut]) or (
      joints and _SEVERITY_AFTER.match(gap[:cut])
    )
    ends = ends[:-1]  # the words next to a finding are its own
  if not is_after:
    return 0
  for joint, end in zip(joints, ends, strict=False):
    chunk = gap[joint.end() : end]
    is_place = joint[0] in ('and', 'or', ',') and _ENDS_WITH_PLACE.search(chunk)
    if not is_place or _VERB.search(chunk):
      break
    cut = end
  return cut


def _places(text):
  """(side, zone) pairs that the words name; [] if they name none."""
  marks = []
  for word in _BOTH_SIDES.sub('bilateral', text).split():
    if word in _SIDE_WORDS:
      marks.append(('side', _SIDE_WORDS[word]))
    if word in _ZONE_WORDS:
      marks.append(('zone', _ZONE_WORDS[word]))
  if all(kind == 'side' for kind, _ in marks):
    return list(dict.fromkeys((side, '') for _, side in marks))
  # 'left base, right apex', but 'base of the left, apex of the right lung'.
  zone_first = marks[0][0] == 'zone'
  side = 'bilateral' if _PAIRED.search(text) else ''
  pairs = []
  for kind, value in reversed(marks) if zone_first else marks:
    if kind == 'side':
      side = value
    else:
      pairs.append((side, value))
  return list(dict.fromkeys(reversed(pairs) if zone_first else pairs))


def _share_places(gaps, places):
  """'Left effusion and atelectasis': what is said together shares a place."""
  shared = list(places)
  for i, gap in enumerate(gaps):
    joined = _JOINED.search(gap) and len(gap.split()) <= _LONGEST_JOINT
    if not joined and not _INTERPRETED.search(gap):
      continue
    first, second = shared[i : i + 2]
    if not second:
      shared[i + 1] = first
    elif not first and not _places(gap):
      shared[i] = second
    elif len(first) == 1 and not any(side for side, _ in second):
      shared[i + 1] = [(first[0][0], zone) for _, zone in second]
  return shared


def _with_severity(places, before, mention, after):
  """(side, zone, severity) of each place, or of the one that is not said."""
  words = before.split()
  if mention.rule.kind == 'statement':  # the last word is the predicate
    words += mention.text.split()[:-1]
  if said_after := _SEVERITY_AFTER.match(after):
    words.append(said_after[1])
  of_all = _gravest([_SEVERITY_WORDS[w] for w in words if w in _SEVERITY_WORDS])
  of_side = _by_side(f'{before} {after}')
  if said_after and not all(of_side.values()):
    of_side = {}
  return [
    (side, zone, of_side.get(side, of_all))
    for side, zone in places or [('', '')]
  ]


def _by_side(text):
  """'Moderate left and small right': where the two differ, of each."""
  if 'left' not in text or 'right' not in text:
    return {}
  of_side, degrees, is_new, said = {}, [], False, set()
  for word in _BOTH_SIDES.sub('bilateral', text).split():
    if degree := _SEVERITY_WORDS.get(word):
      degrees = [degree] if is_new else [*degrees, degree]
      is_new = False
      said.add(degree)
    elif word in ('left', 'right'):
      of_side.setdefault(word, _gravest(degrees))
      is_new = True
  if len(of_side) < 2 or len(said) < 2:
    return {}
  # 'Left small, right moderate' is not read.
  is_clear = next(iter(of_side.values()))
  return of_side if is_clear else dict.fromkeys(of_side, '')


def _gravest(degrees):
  """'Small to moderate' is moderate."""
  return max(degrees, key=SEVERITIES.index, default='')
