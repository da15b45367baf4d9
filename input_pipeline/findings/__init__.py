"""Findings in report text: a rule labeler (source `rules`, not CheXbert)."""

from input_pipeline.findings.label_sets import (
  CLASS_OF_FINDING,
  LABEL_SETS,
  LabelSet,
  chexpert_labels,
  mesh_labels,
)
from input_pipeline.findings.reader import read_findings, read_iu_findings
from input_pipeline.findings.vocabulary import (
  ATTRIBUTES,
  CHEXPERT_14,
  DRAWN_FINDINGS,
  FINDINGS,
  IU_CLASSES,
  NO_FINDING,
  Finding,
)

__all__ = [
  'ATTRIBUTES',
  'CHEXPERT_14',
  'CLASS_OF_FINDING',
  'DRAWN_FINDINGS',
  'FINDINGS',
  'IU_CLASSES',
  'LABEL_SETS',
  'NO_FINDING',
  'Finding',
  'LabelSet',
  'chexpert_labels',
  'mesh_labels',
  'read_findings',
  'read_iu_findings',
]
