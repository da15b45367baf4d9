"""The files of results that a run leaves."""

import json
import os
from pathlib import Path


def write_json(path: Path, content):
  """Writes all or nothing."""
  partial = path.with_suffix('.partial')
  partial.write_text(json.dumps(content, indent=1, ensure_ascii=False) + '\n')
  os.replace(partial, path)
