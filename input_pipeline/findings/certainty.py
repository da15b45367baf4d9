"""Whether a sentence affirms, denies or doubts what it mentions."""

from input_pipeline.findings.mentions import (
  Mention,
  whole_words,
  words_between,
)
from input_pipeline.findings.vocabulary import NEGATIVE, POSITIVE, UNCERTAIN

_DENIED_BEFORE = (
  r'no|not|without|free of|clear of|negative for|absence of|absent|never'
  r'|(?<!incompletely )(?<!partially )(?<!nearly )resolved|resolution of'
  r'|removal of|nor|neither|lack of|ruled out|unlikely to represent'
)
_DENIED_AFTER = whole_words(
  r'(?:(?:is|are|was|were|has|have|had|been|be|being) )*'
  r'(?:not (?:(?:well|\w+ly|longer) )?(?:seen|identified|present'
  r'|visuali[sz]ed|noted|evident|appreciated|visible|demonstrated|detected'
  r'|found|observed|apparent)(?! on (?:the )?(?:lateral|frontal))'
  r'|not(?= *(?:,|$))|no longer|resolved|absent'
  r'|cleared|ruled out|removed|excluded|none|unlikely(?! to))'
  r'|(?:(?:is|are|appears?|remains?) )+(?:normal|unremarkable'
  r'|within (?:normal limits|limits of normal))'
)
_DOUBTED_BEFORE = (
  r'possible|possibly|may|might|could|can ?not exclude|not exclude|rule out'
  r'|can ?not rule out|r / o|questionable|question of|question|suspected'
  r'|suspect|versus|vs|equivocal|borderline|consider|potential'
  r'|difficult to exclude|evaluate for'
)
_DOUBTED_AFTER = whole_words(
  r'(?:can ?not be|(?:is |are )?not)(?: \w+ly)? excluded'
  r'|(?:difficult|hard) to exclude'
  r'|(?:is|are) (?:possible|suspected|questioned)|versus|vs'
)
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
)
# Denials of a change, not of the finding.
_NO_CHANGE = whole_words(
  r'(?:no|not|without)(?: \w+){0,3}? (?:change|changed|changes|increase'
  r'|decrease|progression|improvement|worsening|difference)'
)
_CUES = whole_words(
  rf'(?P<doubted>{_DOUBTED_BEFORE})|(?P<suggested>{_SUGGESTED_BEFORE})'
  rf'|(?P<denied>{_DENIED_BEFORE})|(?P<end>{_TERMINATORS})'
)
# A cue after the finding does not reach back over these.
_CLAUSE_END = whole_words(
  r'is|are|was|were|has|have|had|there|no|without|but|;|although|however'
)
_NOT_INSIDE = whole_words(r'not|no longer|never')
_DOUBT_INSIDE = whole_words(_DOUBTED_BEFORE)
_ALTERNATIVES = whole_words(r'or')
_LONGEST_ALTERNATIVE = 3  # words from one alternative to the other


def read_statuses(sentence: str, mentions: list[Mention]) -> list[str]:
  """POSITIVE, NEGATIVE or UNCERTAIN for each mention."""
  statuses = [_status(sentence, mention) for mention in mentions]
  for i, gap in enumerate(words_between(sentence, mentions)):
    either = _ALTERNATIVES.search(gap)
    near = len(gap.split()) <= _LONGEST_ALTERNATIVE
    if either and near and statuses[i] == statuses[i + 1] == POSITIVE:
      statuses[i : i + 2] = UNCERTAIN, UNCERTAIN
  return statuses


def _status(sentence, mention):
  if mention.rule.kind == 'normal':
    return NEGATIVE
  if mention.rule.kind == 'statement':
    if _NOT_INSIDE.search(mention.text):
      return NEGATIVE
    return UNCERTAIN if _DOUBT_INSIDE.search(mention.text) else POSITIVE
  after = sentence[mention.end :]
  if _reaches_back(_DOUBTED_AFTER, after):
    return UNCERTAIN
  if _reaches_back(_DENIED_AFTER, after):
    return NEGATIVE
  return _status_before(sentence, mention.start)


def _reaches_back(cues, after):
  cue = cues.search(after)
  return cue and not _CLAUSE_END.search(after[: cue.start()])


def _status_before(sentence, end):
  """The last cue before `end` decides, unless its reach has ended."""
  status = POSITIVE
  blanked = _NO_CHANGE.sub(lambda match: '_' * len(match[0]), sentence)
  for cue in _CUES.finditer(blanked, 0, end):
    if cue['end']:
      status = POSITIVE
    elif cue['denied']:
      status = NEGATIVE
    elif cue['doubted'] or status != NEGATIVE:
      status = UNCERTAIN
  return status
