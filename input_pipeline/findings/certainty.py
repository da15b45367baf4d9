"""Whether a sentence affirms, denies or doubts what it mentions."""

import bisect
from collections.abc import Sequence

from input_pipeline.findings.mentions import (
  Mention,
  whole_words,
  words_between,
)
from input_pipeline.findings.vocabulary import NEGATIVE, POSITIVE, UNCERTAIN

_DENIED_BEFORE = (
  r'no|not|without|free of|clear of|negative for|absence of|absent|never'
  r'|(?<!incompletely )(?<!partially )(?<!nearly )resolved'
  r'|(?<!partial )(?<!incomplete )(?<!some )(?:resolution|clearing) of'
  r'|removal of|nor|neither|lack of|ruled out|unlikely to represent'
)
_NOT_SEEN = (
  r'not (?:(?:well|\w+ly|longer) )?(?:seen|identified|present|visuali[sz]ed'
  r'|noted|evident|appreciated|visible|demonstrated|detected|found|observed'
  r'|apparent)'
)
_DENIED_AFTER = whole_words(
  r'(?:(?:is|are|was|were|has|have|had|been|be|being) )*'
  rf'(?:{_NOT_SEEN}|not(?= *(?:,|$))|no longer|resolved|absent'
  r'|(?<!partially )(?<!incompletely )cleared|ruled out|removed|excluded|none'
  r'|unlikely(?! to))'
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
  r'|possible|possibly|may|might|could|can ?not exclude|not exclude|rule out'
  r'|can ?not rule out|r / o|questionable|question of|question|suspected'
  r'|suspect|versus|vs|equivocal|borderline|consider|potential'
  r'|difficult to exclude|evaluate for'
)
_DOUBTED_AFTER = whole_words(
  r'(?:can ?not be|(?:is |are )?not)(?: \w+ly)? excluded'
  r'|(?:difficult|hard) to exclude'
  r'|(?:is|are) (?:possible|suspected|questioned)'
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
# Here a denial or a doubt ends.
_TERMINATORS = (
  r'but|except|however|although|though|secondary to|due to|because of|;'
  r'|which|where|apart from|aside from|other than|besides|exception of|there is'
  r'|there are|(?<!consistent )(?<!compatible )with'
  r'|(?:and|,) (?:the|a|an|mild|moderate|minimal|stable|unchanged|there)'
  r'|, (?:healed|healing|old|remote)'
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
  rf'|(?P<denied>{_DENIED_BEFORE})|(?P<end>{_TERMINATORS})'
)
# A cue after the finding does not reach back over these.
_CLAUSE_END = whole_words(
  r'is|are|was|were|has|have|had|there|no|without|but|;|although|though|however'
)
_NOT_INSIDE = whole_words(r'not|no longer|never')
_DOUBT_INSIDE = whole_words(rf'{_DOUBTED_BEFORE}|normal(?: ,)? (?:or|to)')
_ALTERNATIVES = whole_words(r'or')
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
  starts = sorted(mention.start for mention in everything)
  statuses = []
  for mention in mentions:
    nearest = bisect.bisect_left(starts, mention.end)
    following = starts[nearest] if nearest < len(starts) else len(sentence)
    statuses.append(_status(sentence, mention, following))
  for i, gap in enumerate(words_between(sentence, mentions)):
    either = _ALTERNATIVES.search(gap)
    near = len(gap.split()) <= _LONGEST_ALTERNATIVE
    if either and near and statuses[i] == statuses[i + 1] == POSITIVE:
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


def _status(sentence, mention, following):
  """The status of a mention; the next one begins at `following`."""
  if mention.rule.kind == 'normal':
    return NEGATIVE
  if mention.rule.kind == 'statement':
    if _NOT_INSIDE.search(mention.text):
      return NEGATIVE
    return UNCERTAIN if _DOUBT_INSIDE.search(mention.text) else POSITIVE
  after, own = sentence[mention.end :], following - mention.end
  if _is_alternative(after, own) or _reaches_back(_DOUBTED_AFTER, after, own):
    return UNCERTAIN
  if _reaches_back(_DENIED_AFTER, after, own):
    return NEGATIVE
  if _reaches_back(_DENIED_THEN, after[:own], own):
    return NEGATIVE
  return _status_before(sentence, mention.start)


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


def _status_before(sentence, end):
  """The last cue before `end` decides, unless its reach has ended."""
  status = POSITIVE
  for cue in _CUES.finditer(sentence, 0, end):
    if cue['end']:
      status = POSITIVE
    elif cue['denied']:
      status = NEGATIVE
    elif cue['doubted'] or status != NEGATIVE:
      status = UNCERTAIN
  return status
