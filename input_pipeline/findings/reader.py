"""From the text of a report to the findings that it states."""

import functools
import re
import textwrap

from input_pipeline.findings.attributes import read_attributes
from input_pipeline.findings.certainty import read_statuses
from input_pipeline.findings.iu_rules import IU_RULES
from input_pipeline.findings.rules import RULES
from input_pipeline.findings.vocabulary import (
  ATTRIBUTES,
  NEGATIVE,
  POSITIVE,
  SEVERITIES,
  UNCERTAIN,
  Finding,
)

# Words are weighed against all others of their sentence: none is longer.
_LONGEST_SENTENCE = 2000  # characters
# Texts whose readings are kept; all of IU X-Ray's, in some 20 MB.
_KEPT_TEXTS = 8192


def read_findings(report: str) -> tuple[Finding, ...]:
  """Findings of a raw or tokenised report, in the order of the text.

  One for each name, side and zone. 'positive' wins over 'uncertain' over
  'negative' where sentences disagree. A text is read once while it is among
  the last 8,192.
  """
  return _read(report)[0]


def read_iu_findings(report: str) -> tuple[Finding, ...]:
  """What the label set `iu` needs beside `read_findings`: names and statuses.

  One for each name, by the same rules of certainty; sides, zones and
  severities are not read.
  """
  return _read(report)[1]


@functools.lru_cache(_KEPT_TEXTS)
def _read(report):
  found, of_iu = [], []
  for sentence in normalize(report):
    mentions = RULES.find(sentence)
    iu_mentions = IU_RULES.find(sentence)
    found.extend(_findings(sentence, mentions, iu_mentions))
    of_iu.extend(_iu_findings(sentence, iu_mentions, mentions))
  return tuple(_merge(found)), tuple(_merge(of_iu))


def normalize(report: str) -> list[str]:
  """Sentences in lower case; ',' ';' ':' '/' are words, hyphens spaces."""
  text = report.lower().replace('<unk>', 'xxxx')
  text = re.sub(r'[-\'"*_]', ' ', text)
  text = re.sub(r'[()\[\]]', ' , ', text)
  text = re.sub(r'vs(?<!\wvs)\s*\.', 'vs', text)  # no end
  text = re.sub(r'([,;:/])', r' \1 ', text)
  sentences = re.split(r'\.(?!\d)|\?|!', text)
  sentences = (' '.join(sentence.split()) for sentence in sentences)
  return [part for sentence in sentences for part in _parts(sentence)]


def _parts(sentence):
  """The sentence; where it is no sentence at all, pieces of whole words."""
  if len(sentence) <= _LONGEST_SENTENCE:
    return [sentence]
  return textwrap.wrap(sentence, _LONGEST_SENTENCE)


def _findings(sentence, mentions, others):
  statuses = read_statuses(sentence, mentions, others)
  attributes = read_attributes(sentence, mentions)
  for mention, status, places in zip(
    mentions, statuses, attributes, strict=True
  ):
    for name in mention.rule.names:
      for side, zone, severity in places:
        yield _finding(name, side, zone, severity, status)


def _iu_findings(sentence, mentions, others):
  statuses = read_statuses(sentence, mentions, others)
  for mention, status in zip(mentions, statuses, strict=True):
    for name in mention.rule.names:
      yield Finding(name, status=status)


def _finding(name, side, zone, severity, status):
  """The finding with the attributes that its name can carry."""
  keep = ATTRIBUTES[name]
  return Finding(
    name,
    side=side if 'side' in keep else '',
    zone=zone if 'zone' in keep else '',
    # 'No large effusion' says nothing about how large the effusion is.
    severity=severity if 'severity' in keep and status != NEGATIVE else '',
    status=status,
  )


def _merge(found):
  """One finding for each name and place: the surest, the gravest of them."""
  merged = {}
  for finding in found:
    key = finding.name, finding.side, finding.zone
    if key not in merged or _rank(finding) > _rank(merged[key]):
      merged[key] = finding
  return [
    finding
    for finding in merged.values()
    if not any(_is_vaguer(finding, other) for other in merged.values())
  ]


def _rank(finding):
  certainty = (NEGATIVE, UNCERTAIN, POSITIVE).index(finding.status)
  return certainty, ('', *SEVERITIES).index(finding.severity)


def _is_vaguer(finding, other):
  """Whether `other` says the same and also says where."""
  return (
    finding is not other
    and (finding.name, finding.status) == (other.name, other.status)
    and finding.side in ('', other.side)
    and finding.zone in ('', other.zone)
  )
