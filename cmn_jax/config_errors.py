"""What was wrong with a config, out of the exceptions of its flags."""

import re


def sentence_of(error: Exception) -> str:
  """One sentence for what absl or ml_collections raised."""
  unknown = re.search(r"'(\w+)\\?'(?:.*mean \"(\w+)\")?", str(error))
  if isinstance(error, AttributeError | KeyError) and unknown:
    name, similar = unknown.groups()
    hint = f'; did you mean {similar!r}?' if similar else ''
    return f'the config has no field {name!r}{hint}'
  lines = [line.strip() for line in str(error).splitlines() if line.strip()]
  said = [line for line in lines if 'Error: ' in line or 'Errno' in line]
  return (said or lines)[-1 if said else 0]
