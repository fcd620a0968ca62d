"""The one exception type for what a user can mend; the command line prints it without a traceback."""


class InputError(ValueError):
    """Bad input: the message says what is wrong, where, and how to mend it."""
