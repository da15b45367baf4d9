"""MIMIC-CXR-JPG as a TFDS builder; its films are for credentialed users.

config = tfds.download.DownloadConfig(manual_dir='data/mimic_cxr_jpg')
tfds.load('mimic_cxr', download_and_prepare_kwargs={'download_config': config})
"""

import pathlib

from input_pipeline.config import DataConfig
from input_pipeline.layouts import detect, mimic_cxr
from input_pipeline.study import DataError
from input_pipeline.tensorflow_cpu import tfds
from input_pipeline.tfds_builders.examples import StudiesBuilder, features

# More than any study has: all films are kept.
_MOST_FILMS = 32


class MimicCxr(StudiesBuilder):
  """Chest films of Beth Israel Deaconess Medical Center and their reports."""

  VERSION = tfds.core.Version('1.0.0')
  RELEASE_NOTES = {'1.0.0': 'Studies with FINDINGS, all films, MIMIC split.'}
  MANUAL_DOWNLOAD_INSTRUCTIONS = """\
Ask PhysioNet for credentialed access and sign the agreements of
https://physionet.org/content/mimic-cxr-jpg/ and
https://physionet.org/content/mimic-cxr/. Unpack mimic-cxr-reports.zip of
MIMIC-CXR over MIMIC-CXR-JPG 2.0.0, so that manual_dir holds
  mimic-cxr-2.0.0-metadata.csv, mimic-cxr-2.0.0-split.csv,
  mimic-cxr-2.0.0-chexpert.csv (each may be .csv.gz; labels need the last)
  files/p10/p10000032/s50414267/*.jpg
  files/p10/p10000032/s50414267.txt
"""

  def _info(self):
    return tfds.core.DatasetInfo(
      builder=self,
      description=(
        'Chest films in JPEG with the free text of their reports: the studies '
        'whose report has FINDINGS, with all of their films, which are stored '
        "as the hospital's JPEGs. The split is that of MIMIC-CXR-JPG."
      ),
      features=features("CheXpert's, of mimic-cxr-2.0.0-chexpert.csv", False),
      homepage='https://physionet.org/content/mimic-cxr-jpg/',
      license=mimic_cxr.LICENCE,
      citation="""\
@article{johnson2019mimiccxr,
  title={{MIMIC-CXR}, a de-identified publicly available database of chest
    radiographs with free-text reports},
  author={Johnson, Alistair E. W. and Pollard, Tom J. and Berkowitz, Seth J.
    and Greenbaum, Nathaniel R. and Lungren, Matthew P. and Deng, Chih-ying and
    Mark, Roger G. and Horng, Steven},
  journal={Scientific Data},
  volume={6},
  number={317},
  year={2019}
}
@article{johnson2019mimiccxrjpg,
  title={{MIMIC-CXR-JPG}, a large publicly available database of labeled chest
    radiographs},
  author={Johnson, Alistair E. W. and Pollard, Tom J. and Greenbaum, Nathaniel
    R. and Lungren, Matthew P. and Deng, Chih-ying and Peng, Yifan and Lu,
    Zhiyong and Mark, Roger G. and Berkowitz, Seth J. and Horng, Steven},
  journal={arXiv:1901.07042},
  year={2019}
}""",
    )

  def _split_generators(self, dl_manager):
    folder = pathlib.Path(dl_manager.manual_dir)
    layout = detect.find_layout(folder)
    if layout != 'MIMIC-CXR-JPG':
      raise DataError(
        f'{folder} has the layout {layout}, not MIMIC-CXR-JPG: give another '
        f'manual_dir.\n{self.MANUAL_DOWNLOAD_INSTRUCTIONS}'
      )
    config = DataConfig(str(folder), views=_MOST_FILMS, min_films=1)
    dataset = detect.scan(config, folder)  # nothing to unpack
    return self._generators(dataset, mesh=False, as_stored=True)
