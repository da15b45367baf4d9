"""IU X-Ray as a TFDS builder that downloads Open-i's archives.

  tfds.load('iu_xray', split='train')

Open-i publishes no checksums, so none are kept here, and TFDS takes what comes.
To record those of the first download in a checksums.tsv beside this file, and
have later downloads compared with them:

  builder = tfds.builder('iu_xray')
  builder.download_and_prepare(
    download_config=tfds.download.DownloadConfig(register_checksums=True)
  )
"""

import contextlib
import pathlib
import urllib.error
import urllib.request

from absl import logging

from input_pipeline.config import DataConfig
from input_pipeline.layouts import detect, openi
from input_pipeline.study import OPENI_LICENCE, DataError
from input_pipeline.tensorflow_cpu import tfds
from input_pipeline.tfds_builders.examples import StudiesBuilder, features

_FOLDER = 'https://openi.nlm.nih.gov/imgs/collections'
URLS = {
  name: f'{_FOLDER}/{name}'
  for name in (openi.REPORTS[0], openi.FILM_ARCHIVES[0])
}


class IuXray(StudiesBuilder):
  """Chest films and reports of Indiana University, as Open-i has them."""

  VERSION = tfds.core.Version('1.0.0')
  RELEASE_NOTES = {'1.0.0': "R2Gen's selection of studies, split hash-v1."}
  MANUAL_DOWNLOAD_INSTRUCTIONS = (
    f'Only without a network: {" and ".join(URLS)} of {_FOLDER}.'
  )

  def _info(self):
    return tfds.core.DatasetInfo(
      builder=self,
      description=(
        'Frontal and lateral chest films of Indiana University with their '
        'reports. Studies with FINDINGS and two films or more, of which the '
        "first two are taken: R2Gen's selection. The split is hash-v1 (70, 10 "
        'and 20 % by a hash of the cleaned report, equal reports together), '
        'and not that of R2Gen.'
      ),
      features=features("CheXpert classes read in Open-i's MeSH terms", True),
      homepage='https://openi.nlm.nih.gov/',
      license=OPENI_LICENCE,
      citation="""\
@article{demner2016preparing,
  title={Preparing a collection of radiology examinations for distribution and
    retrieval},
  author={Demner-Fushman, Dina and Kohli, Marc D. and Rosenman, Marc B. and
    Shooshan, Sonya E. and Rodriguez, Laritza and Antani, Sameer and
    Thoma, George R. and McDonald, Clement J.},
  journal={Journal of the American Medical Informatics Association},
  volume={23},
  number={2},
  pages={304--310},
  year={2016}
}""",
    )

  def _split_generators(self, dl_manager):
    known = self.url_infos or {}
    if not dl_manager.register_checksums and not known.keys() >= set(
      URLS.values()
    ):
      logging.warning(
        'Open-i publishes no checksums of %s: what comes is taken as it is, '
        'and a cut archive is refused when it is read. DownloadConfig('
        'register_checksums=True) records theirs for later downloads.',
        ' and '.join(URLS),
      )
    folder = pathlib.Path(dl_manager.download_dir) / 'iu_xray_archives'
    dataset = _scan(folder, _archives(dl_manager, folder))
    return self._generators(dataset, mesh=True, as_stored=False)


def _archives(dl_manager, folder):
  """{name of an archive: where it is}: brought, downloaded, or from before."""
  found = _all_in(_manual_dir(dl_manager))
  if found:
    return found
  try:
    _reach(next(iter(URLS.values())))
    return dl_manager.download(URLS)
  except (tfds.download.DownloadError, OSError) as error:
    found = _all_in(folder)
    if found:
      return found
    raise DataError(
      f'{_FOLDER} could not be reached ({error}). Put {" and ".join(URLS)} '
      'into a folder and name it, DownloadConfig(manual_dir=FOLDER); or give '
      'the folder of any copy of IU X-Ray to '
      '`python -m input_pipeline.prepare --source FOLDER --out OUT`: '
      '`tfds.builder_from_directory(OUT)` opens what it writes.'
    ) from None


def _manual_dir(dl_manager):
  try:
    return pathlib.Path(dl_manager.manual_dir)
  except AssertionError:  # Nobody made one.
    return None


def _all_in(folder):
  """The archives in a folder; {} unless it has all of them."""
  paths = {name: folder / name for name in URLS} if folder else {}
  whole = all(path.is_file() for path in paths.values())
  return {n: path.resolve() for n, path in paths.items()} if whole else {}


def _reach(url):
  """Raises OSError where TFDS would try for minutes."""
  request = urllib.request.Request(url, method='HEAD')
  with contextlib.suppress(urllib.error.HTTPError):  # That is an answer.
    urllib.request.urlopen(request, timeout=20).close()


def _scan(folder, archives):
  """The `Dataset` of the archives, linked by the names that Open-i gave."""
  folder.mkdir(parents=True, exist_ok=True)
  for name, path in archives.items():
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(pathlib.Path(path).absolute())
  try:
    return detect.scan(DataConfig(str(folder)), folder / 'unpacked')
  except DataError as error:
    stored = ', '.join(str(path) for path in archives.values())
    raise DataError(f'{error}\nThe archives are kept as {stored}.') from error
