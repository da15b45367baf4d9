"""Draws the films of many studies, on several cores.

Each worker is a Python process of its own that runs this module: it reads its
share as JSON from stdin and answers one line for each study. A process that
only imports numpy starts at once, whatever its parent has loaded.
"""

import concurrent.futures
import contextlib
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable

import numpy as np
from PIL import Image

from input_pipeline.findings.vocabulary import Finding
from input_pipeline.phantom.lesions import build_scene
from input_pipeline.phantom.render import VIEWS, render
from input_pipeline.phantom.scene import Scene

_ROOT = pathlib.Path(__file__).parents[2]


def draw_films(
  folder: pathlib.Path,
  studies: list[tuple[str, list[Finding]]],
  seed: int,
  size: int,
  workers: int,
  on_study: Callable[[], None],
) -> None:
  """Writes folder/<id>/{0,1}.png: the frontal and the lateral film.

  Args:
    studies: (id, complete findings); study i draws from (seed, i) alone.
    on_study: called after each study.
  """
  numbered = [
    (index, id_, [vars(finding) for finding in findings])
    for index, (id_, findings) in enumerate(studies)
  ]
  workers = min(workers, len(numbered))
  shares = [numbered[first::workers] for first in range(workers)]
  with concurrent.futures.ThreadPoolExecutor(workers) as threads:
    processes = [_start_worker() for _ in shares]
    try:
      jobs = [
        threads.submit(_feed, process, folder, share, seed, size, on_study)
        for process, share in zip(processes, shares, strict=True)
      ]
      for job in concurrent.futures.as_completed(jobs):
        job.result()
    finally:  # also ends the threads, which read what the processes say
      for process in processes:
        process.kill()
      for process in processes:
        process.wait()


def _start_worker():
  threads = {'OMP_NUM_THREADS': '1', 'OPENBLAS_NUM_THREADS': '1'}
  return subprocess.Popen(
    [sys.executable, '-m', 'input_pipeline.phantom.films'],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    text=True,
    cwd=_ROOT,
    env=os.environ | threads,
    start_new_session=True,  # Ctrl-C is for the parent, which ends them
  )


def _feed(process, folder, share, seed, size, on_study):
  job = {'folder': str(folder), 'seed': seed, 'size': size, 'share': share}
  with process:
    with contextlib.suppress(BrokenPipeError):  # it died: see its exit code
      process.stdin.write(json.dumps(job))
      process.stdin.close()
    for _ in process.stdout:
      on_study()
  if process.returncode:
    raise RuntimeError(
      f'A process that draws phantom films ended with code '
      f'{process.returncode}; what it said is above.'
    )


def _draw_share(job):
  for index, id_, findings in job['share']:
    folder = pathlib.Path(job['folder']) / id_
    folder.mkdir()
    findings = [Finding(**fields) for fields in findings]
    films = draw_study(findings, job['seed'], index, job['size'])
    for number, film in enumerate(films):
      path = folder / f'{number}.png'
      Image.fromarray(film).save(path, compress_level=3)
    print(index, flush=True)


def draw_study(
  findings: list[Finding], seed: int, index: int, size: int
) -> list[np.ndarray]:
  """The frontal and the lateral film of study `index`, uint8 (size, size)."""
  scene, film_rngs = build_patient(findings, seed, index)
  return [
    render(scene, view, size, film_rng)
    for view, film_rng in zip(VIEWS, film_rngs, strict=True)
  ]


def build_patient(
  findings: list[Finding], seed: int, index: int
) -> tuple[Scene, list[np.random.Generator]]:
  """The scene of study `index`, and what draws the photons of each view."""
  rng = np.random.default_rng([seed, index, 1])
  scene_rng, *film_rngs = rng.spawn(1 + len(VIEWS))
  return build_scene(findings, scene_rng), film_rngs


if __name__ == '__main__':
  _draw_share(json.load(sys.stdin))
