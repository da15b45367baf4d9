"""The authors' compute_scores: JSON of two lists in, JSON of scores out.

A program of its own, since their pycocoevalcap and pip's share a name:
  python tests/parity/authors_scores.py CHECKOUT METEOR_JAR < pairs.json
"""

import json
import sys
import types


def main(checkout: str, jar: str):
  """Reads {'references', 'hypotheses'}, prints their scores by our names."""
  sys.path.insert(0, checkout)
  learn = types.ModuleType('sklearn.metrics')
  for name in ('roc_auc_score', 'f1_score', 'recall_score', 'precision_score'):
    setattr(learn, name, None)  # Imported by them, not used here.
  sys.modules['sklearn'] = types.ModuleType('sklearn')
  sys.modules['sklearn.metrics'] = learn
  from modules.metrics import compute_scores
  from pycocoevalcap.meteor import meteor

  meteor.METEOR_JAR = jar
  pairs = json.load(sys.stdin)
  out, sys.stdout = sys.stdout, sys.stderr  # They print on the way.
  scores = compute_scores(
    {i: [text] for i, text in enumerate(pairs['references'])},
    {i: [text] for i, text in enumerate(pairs['hypotheses'])},
  )
  json.dump({k.lower(): float(v) for k, v in scores.items()}, out)


if __name__ == '__main__':
  main(*sys.argv[1:])
