"""The one error that a command prints without a traceback."""


class UserError(ValueError):
  """What a person can mend, in one sentence.

  It names the field or file, its value, what was expected and what to do.
  Commands print it and exit with a non-zero status; every other exception is
  a fault of the program and keeps its traceback.
  """
