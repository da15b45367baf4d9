"""Findings in report text: a rule labeler (source `rules`, not CheXbert)."""

from input_pipeline.findings.chexpert import CLASS_OF_FINDING, chexpert_labels
from input_pipeline.findings.mesh import mesh_labels
from input_pipeline.findings.reader import read_findings
from input_pipeline.findings.vocabulary import (
  ATTRIBUTES,
  CHEXPERT_14,
  DRAWN_FINDINGS,
  FINDINGS,
  NO_FINDING,
  Finding,
)

__all__ = [
  'ATTRIBUTES',
  'CHEXPERT_14',
  'CLASS_OF_FINDING',
  'DRAWN_FINDINGS',
  'FINDINGS',
  'NO_FINDING',
  'Finding',
  'chexpert_labels',
  'mesh_labels',
  'read_findings',
]
