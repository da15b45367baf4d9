"""What can be trained: one file each, registered here by one line."""

from cmn_jax.tasks.classify import ClassifyTask
from cmn_jax.tasks.consensus import ConsensusTask
from cmn_jax.tasks.diagnose import DiagnoseTask
from cmn_jax.tasks.ekagen import EkagenTask
from cmn_jax.tasks.reports import ReportTask
from cmn_jax.training.task import Task as Task

TASKS: dict[str, type] = {
  'report': ReportTask,
  'classify': ClassifyTask,
  'consensus': ConsensusTask,
  'diagnose': DiagnoseTask,
  'ekagen': EkagenTask,
}
