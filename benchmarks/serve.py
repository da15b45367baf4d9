"""The page of `cmn_jax.serve` under many requests at once.

  python -m benchmarks.serve --checkpoint DIR --image FILE [--requests 200]

Starts it, asks it from several clients, and prints failures, seconds of a
request, and how its memory grew from the end of the first quarter on.
"""

import concurrent.futures
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.arguments import command, count


def _megabytes(process: int) -> float:
  """Resident memory."""
  pages = int(Path(f'/proc/{process}/statm').read_text().split()[1])
  return pages * os.sysconf('SC_PAGE_SIZE') / 1e6


def main() -> None:
  """Parses the command line and prints a line for each figure."""
  parser = command('serve', __doc__)
  parser.add_argument('--checkpoint', required=True)
  parser.add_argument('--image', required=True)
  parser.add_argument('--requests', type=count, default=200)
  parser.add_argument('--clients', type=count, default=8)
  parser.add_argument('--port', type=int, default=7869)
  args = parser.parse_args()
  from gradio_client import Client, handle_file

  start = time.monotonic()
  flags = (f'--checkpoint={args.checkpoint}', f'--port={args.port}')
  serve = [sys.executable, '-m', 'cmn_jax.serve', *flags]
  with subprocess.Popen(serve, stdout=subprocess.PIPE, text=True) as server:
    said = iter(server.stdout.readline, '')
    address = next(
      found[1] for line in said if (found := re.search(r'Open (\S+)', line))
    )
    print(f'ready after {time.monotonic() - start:.1f} s')
    print(f'memory before {_megabytes(server.pid):.0f} MB')
    clients = [Client(address, verbose=False) for _ in range(args.clients)]
    answers, memory = [], []

    def ask(client: Client) -> None:
      for _ in range(args.requests // args.clients):
        begin = time.monotonic()
        try:
          film = handle_file(args.image)
          good = 'report' in client.predict(film, api_name='/report')[1]
        except Exception as error:
          print(error)
          good = False
        answers.append((time.monotonic() - begin, good))
        memory.append(_megabytes(server.pid))

    begin = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(args.clients) as pool:
      list(pool.map(ask, clients))
    wall = time.monotonic() - begin
    server.terminate()
  seconds = [one for one, _ in answers]
  p50, p95 = np.percentile(seconds, [50, 95])
  first, last = memory[len(memory) // 4], memory[-1]
  load = ', '.join(f'{x:.1f}' for x in os.getloadavg())
  print(
    f'{len(answers)} requests by {args.clients} clients: '
    f'{sum(not good for _, good in answers)} failed, '
    f'{len(answers) / wall:.2f} a second, median {p50:.2f} s, p95 {p95:.2f} s'
    f'\nmemory {first:.0f} MB after a quarter, {last:.0f} MB at the end '
    f'({100 * (last / first - 1):+.1f} %)\nload of the machine {load}'
  )


if __name__ == '__main__':
  main()
