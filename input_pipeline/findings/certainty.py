"""Whether a sentence affirms, denies or doubts what it mentions."""

import bisect
import re
from collections.abc import Sequence

from input_pipeline.findings.mentions import (
  Mention,
  whole_words,
  words_between,
)
from input_pipeline.findings.vocabulary import NEGATIVE, POSITIVE, UNCERTAIN

_DENIED_BEFORE = (
  r'no|not|without|free of|clear of|negative for|absence of|absent|never'
  r'|(?<!incompletely )(?<!partially )(?<!nearly )(?<!almost )'
  r'(?<!nearly completely )(?<!almost completely )resolved'
  r'|(?<!partial )(?<!incomplete )(?<!some )(?<!near complete )'
  r'(?<!nearly complete )(?<!almost complete )(?:resolution|clearing) of'
  r'|nor|neither|lack of|ruled out|unlikely to represent'
  r'|rather than|as opposed to'
)
_SEEN = (
  r'(?:seen|identified|present|visuali[sz]ed|noted|evident|appreciated|visible'
  r'|demonstrated|detected|found|observed|apparent)'
)
_NOT_SEEN = rf'not (?:(?:well|\w+ly|longer) )?{_SEEN}'
_DENIED_AFTER = whole_words(
  r'(?:(?:is|are|was|were|has|have|had|been|be|being|now|since|also|both|all'
  r'|subsequently|completely|entirely|fully|totally) )*'
  rf'(?:{_NOT_SEEN}|not(?= *(?:,|$))|no longer|resolved|absent'
  r'|cleared|ruled out|removed|excluded|none|unlikely(?! to))'
  r'|(?:(?:is|are|appears?|remains?) )+(?:normal|unremarkable'
  r'|within (?:normal limits|limits of normal))'
)
# 'The nodule is smaller and no longer seen': a second predicate of the same.
_DENIED_THEN = whole_words(
  r'(?:is|are|was|were|has|have|had|appears?)(?: \w+){1,4}? and (?:now )?'
  rf'(?:(?:is|are|was|were|has|have) )?(?:{_NOT_SEEN}|no longer|resolved'
  r'|cleared)'
)
_DOUBTED_BEFORE = (
  # What a doubtful finding is due to is as doubtful.
  r'(?:may|might|could|possibly)(?: \w+){0,2}? (?:secondary|due|related) to'
  r'|possible|possibly|may|might|could|exclude|rule out|r / o|questionable'
  r'|question of|question|suspected|suspect|versus|vs|equivocal|borderline'
  r'|consider|potential|evaluate for|less likely'
)
_NOT_EXCLUDED = (
  r'not(?: \w+ly)?(?: be(?:en)?)?(?: \w+ly)? (?:excluded|ruled out)'
)
_HARD = r'(?:difficult|hard) to (?:exclude|rule out)'
_DOUBTED_AFTER = whole_words(
  rf'{_NOT_EXCLUDED}|can ?{_NOT_EXCLUDED}|{_HARD}'
  r'|(?:should|must) be (?:excluded|ruled out)'
  r'|(?:may|might|could) (?:(?!not )\w+ )?be present'
  r'|(?:is|are|has|have|could|would) (?:be )?(?:(?!not )\w+ )?'
  rf'(?:{_NOT_EXCLUDED}|{_HARD}|possible|suspected|questioned|questionable'
  r'|less likely(?= *(?:$|,|;|and|but|given)))'
)
_VERSUS = whole_words('versus|vs')
# 'Opacity, likely scar versus infection' doubts the cause, not the opacity.
_CAUSE = whole_words(
  r',(?= \w)|represent\w*|reflect\w*|suggest\w*|likely|probably|from'
  r'|(?:consistent|compatible|associated) with|(?:due|secondary|related) to'
)
_JOINED = whole_words('and|or|nor')
# Doubts that leave a denial standing: 'no opacity to suggest pneumonia'.
_SUGGESTED_BEFORE = (
  r'suggests?|suggesting|suggestive of|suspicious for|concerning for'
  r'|worrisome for|suspicion for|concern for'
)
# 'Diaphragm not seen, reflecting atelectasis': here a denial ends.
_INFERRED = (
  r',(?= (?:(?:indicating|reflecting|representing|suggesting)(?!\w)'
  r'|(?:consistent|compatible) with))'
)
# 'No edema, small effusion persists': here a clause of its own begins.
_OTHERS_WORDS = (
  r'or|nor|no|not|without|with|is|are|was|were|has|have'
  r'|and (?:the|an?|heart|lungs?|cardi\w+|mediastin\w+|bones|there)'
)
_AFFIRMED_AFTER = re.compile(
  rf'(?: (?!(?:{_OTHERS_WORDS}) )\w+){{0,4}}? (?:(?:persists?|remains?|stable'
  r'|unchanged|in place|terminates?|ends?|(?:with (?:its |the )?)?tip)(?!\w)'
  r'|(?:is|are|has|have) (?!not |no |suspected'
  rf'|(?:been )?(?:\w+ly )?{_SEEN}(?! again)))'
)
_AFFIRMED_BEFORE = re.compile(r' (?:small|tiny|trace|persistent) ')
_DEVICES = {'pacemaker', 'catheter', 'other support device'}
# Here a denial or a doubt ends.
_TERMINATORS = (
  r'but|except|however|although|though|secondary to|due to|because of|;'
  r'|which|where|apart from|aside from|other than|besides|exception of|there is'
  r'|there are|(?<!consistent )(?<!compatible )with'
  r'|(?:and|,) (?:the|a|an|mild|moderate|minimal|stable|unchanged|there)'
  r'|, (?:healed|healing|old|remote)'
)
# Of a device, only its end is not seen.
_TIP_UNSEEN = whole_words(
  r'(?P<tip>(?:tips?|side ?(?:ports?|holes?))'
  r'(?: of (?:the )?(?:\w+ ){0,3}?\w+)?(?: (?:is|are|was|were))?) '
  rf'{_NOT_SEEN}'
)
# Denials of a change, or of what another film shows, not of the finding.
_OTHER_FILM = (
  r'prior|previous|earlier|older?|last|outside|comparison|lateral|frontal|ct'
)
_DENIES_ANOTHER = whole_words(
  r'(?:no|not|without)(?: \w+){0,3}? (?:change|changed|changes|increase'
  r'|decrease|progression|improvement|worsening|difference)'
  rf'|{_NOT_SEEN} (?:previously|before|earlier'
  r'|(?:on|in|at) (?:(?:the|an?|any|that|most|recent|xxxx) )*'
  rf'(?:{_OTHER_FILM}))'
)
_CUES = whole_words(
  rf'(?P<doubted>{_DOUBTED_BEFORE})|(?P<suggested>{_SUGGESTED_BEFORE})'
  rf'|(?P<denied>{_DENIED_BEFORE})|(?P<removed>removal of)'
  rf'|(?P<inferred>{_INFERRED})|(?P<end>{_TERMINATORS})'
)
# A cue after the finding does not reach back over these.
_CLAUSE_END = whole_words(
  r'is|are|was|were|has|have|had|there|no|without|but|;|although|though|however'
  r'|(?:nearly|almost|partially|incompletely|largely|mostly)(?= *$)'
)
_NOT_INSIDE = whole_words(r'not|no longer|never')
_NOT_NORMAL = whole_words(
  r'(?:not|no longer|never)(?: (?:\w+ly|quite|within|all|both|yet))* \w+$'
)
_DOUBT_INSIDE = whole_words(rf'{_DOUBTED_BEFORE}|normal(?: ,)? (?:or|to)')
_ALTERNATIVES = whole_words(r'or')
# 'No change in effusion or edema' means both, once the denial is blanked.
_UNCHANGED = re.compile(r'_ (?:in|of|to)(?: (?:\w+|,)){0,6} $')
_LONGEST_ALTERNATIVE = 3  # words from one alternative to the other


def read_statuses(
  sentence: str, mentions: list[Mention], others: Sequence[Mention] = ()
) -> list[str]:
  """POSITIVE, NEGATIVE or UNCERTAIN for each mention.

  Args:
    sentence: normalised.
    mentions: in the order of the text.
    others: what another table of rules finds in the sentence. They get no
      status, but what is said after them is not said of those before.
  """
  if not mentions:
    return []
  everything = (*mentions, *others)
  sentence = _without_denials_of_another(sentence, everything)
  if ' not ' in sentence:  # seldom, and the search takes longer
    sentence = _TIP_UNSEEN.sub(_without_denial, sentence)
  starts = sorted(mention.start for mention in everything)
  statuses = []
  for mention in mentions:
    nearest = bisect.bisect_left(starts, mention.end)
    following = starts[nearest] if nearest < len(starts) else len(sentence)
    statuses.append(_status(sentence, mention, starts, following))
  for i, gap in enumerate(words_between(sentence, mentions)):
    either = _ALTERNATIVES.search(gap)
    near = len(gap.split()) <= _LONGEST_ALTERNATIVE
    if (
      either
      and near
      and statuses[i] == statuses[i + 1] == POSITIVE
      and not _UNCHANGED.search(sentence, 0, mentions[i].start)
    ):
      statuses[i : i + 2] = UNCERTAIN, UNCERTAIN
  return statuses


def _without_denials_of_another(sentence, mentions):
  """Blanks them; 'no degenerative changes' denies what it mentions."""

  def blank(hit):
    mentioned = any(
      mention.start < hit.end() and hit.start() < mention.end
      for mention in mentions
    )
    return hit[0] if mentioned else '_' * len(hit[0])

  return _DENIES_ANOTHER.sub(blank, sentence)


def _without_denial(hit):
  """A tip alone, in as many letters."""
  return hit['tip'] + '_' * (len(hit[0]) - len(hit['tip']))


def _status(sentence, mention, starts, following):
  """The status of a mention. All begin at `starts`, the next at `following`."""
  if mention.rule.kind == 'normal':
    return UNCERTAIN if _NOT_NORMAL.search(mention.text) else NEGATIVE
  if mention.rule.kind == 'statement':
    if _NOT_INSIDE.search(mention.text):
      return NEGATIVE
    return UNCERTAIN if _DOUBT_INSIDE.search(mention.text) else POSITIVE
  after, own = sentence[mention.end :], following - mention.end
  if _is_alternative(after, own):
    return UNCERTAIN
  if _reaches_back(_DOUBTED_AFTER, after, own):
    # 'No effusion and pneumonia is not excluded' still denies the effusion.
    is_own = _DOUBTED_AFTER.search(after[:own])
    before = _status_before(sentence, mention, starts)
    return UNCERTAIN if is_own or before != NEGATIVE else NEGATIVE
  if _reaches_back(_DENIED_AFTER, after, own):
    return NEGATIVE
  if _reaches_back(_DENIED_THEN, after[:own], own):
    return NEGATIVE
  status = _status_before(sentence, mention, starts)
  if status == NEGATIVE and (clause := _affirmed_clause(sentence, mention)):
    return _status_before(sentence, mention, starts, clause)
  return status


def _is_alternative(after, own):
  """Whether 'versus' follows, before another finding and before a cause."""
  cue = _VERSUS.search(after)
  if not cue or _CAUSE.search(after[: cue.start()]):
    return False
  between = after[own : cue.start()]
  return not between or _is_joined(after[:own])


def _reaches_back(cues, after, own):
  """Whether a cue is said of a finding; after[:own] is up to the next one."""
  cue = cues.search(after)
  if not cue or _CLAUSE_END.search(after[: cue.start()]):
    return False
  return cue.start() <= own or bool(_JOINED.search(after[: cue.start()]))


def _is_joined(gap):
  return _JOINED.search(gap) and len(gap.split()) <= _LONGEST_ALTERNATIVE


def _affirmed_clause(sentence, mention):
  """Where a clause of its own begins that affirms the finding, or 0."""
  comma = sentence.rfind(', ', 0, mention.start) + 1
  start = max(comma, sentence.rfind(' and ', 0, mention.start) + 4)
  if start < 4 or _ALTERNATIVES.search(sentence, start, mention.start):
    return 0
  is_tip = mention.text.startswith('tip ')
  if is_tip or _AFFIRMED_AFTER.match(sentence, mention.end):
    return start
  is_there = _AFFIRMED_BEFORE.match(sentence, start)
  return start if is_there and not _ALTERNATIVES.search(sentence, start) else 0


def _status_before(sentence, mention, starts, start=0):
  """The last cue before a mention decides, unless its reach has ended."""
  status = POSITIVE
  for cue in _CUES.finditer(sentence, start, mention.start):
    kind = cue.lastgroup
    if kind == 'end' or (kind == 'inferred' and status == NEGATIVE):
      status = POSITIVE
    elif kind == 'denied' or (
      kind == 'removed' and _is_removed(mention, cue.end(), starts)
    ):
      status = NEGATIVE
    elif kind == 'doubted' or (kind == 'suggested' and status != NEGATIVE):
      status = UNCERTAIN
  return status


def _is_removed(mention, end, starts):
  """Devices can be; else what follows at once: 'removal of the fluid'."""
  return not _DEVICES.isdisjoint(mention.rule.names) or not any(
    end <= start < mention.start for start in starts
  )
