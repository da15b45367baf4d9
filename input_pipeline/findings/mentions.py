"""Where wordings that name findings occur in a sentence."""

import itertools
import re
from collections.abc import Sequence
from typing import NamedTuple


class Rule(NamedTuple):
  """What a wording states about one or more findings.

  Attributes:
    kind: 'mention' names the findings, and the words around it decide whether
      they are there; 'statement' is a whole predicate ('heart is not
      enlarged') that nothing outside it negates; 'normal' denies the findings;
      'other' is a look-alike that names none of them.
    names: of the findings.
    pattern: matched on normalised text (`reader.normalize`): lower case, one
      space between words, hyphens opened, ',' ';' and '/' as words of their
      own, and 'xxxx' for a word that is unknown or was removed.
  """

  kind: str
  names: tuple[str, ...]
  pattern: str


class Mention(NamedTuple):
  """A rule's match in a sentence, at [start, end)."""

  rule: Rule
  text: str
  start: int
  end: int


class RuleTable:
  """Rules in their order: where they overlap, the first one wins."""

  def __init__(self, rules: Sequence[Rule]):
    self.rules = tuple(rules)
    self._any = whole_words(
      '|'.join(f'(?P<r{i}>{rule.pattern})' for i, rule in enumerate(rules))
    )

  def find(self, sentence: str) -> list[Mention]:
    """Mentions in a normalised sentence, in the order of the text."""
    return [
      Mention(self.rules[int(hit.lastgroup[1:])], hit[0], *hit.span())
      for hit in self._any.finditer(sentence)
    ]


def words_between(sentence: str, mentions: list[Mention]) -> list[str]:
  """The text between each mention and the next."""
  return [
    sentence[mention.end : after.start]
    for mention, after in itertools.pairwise(mentions)
  ]


def whole_words(pattern: str) -> re.Pattern:
  """Compiles alternatives so that they match whole words only."""
  return re.compile(rf'(?<!\w)(?:{pattern})(?!\w)')
