"""The one error that a command prints without a traceback."""

import errno


class UserError(ValueError):
  """What a person can mend, in one sentence.

  It names the field or file, its value, what was expected and what to do.
  Commands print it and exit with a non-zero status; every other exception is
  a fault of the program and keeps its traceback.
  """


# A disk's errors that a person can mend.
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO)


def of_the_disk(error: OSError) -> bool:
  """Whether the disk is at fault: full, read-only, forbidden or broken."""
  return error.errno in _DISK
