"""The one exception users are meant to read."""


class InputError(Exception):
    """Something given from outside (a parameter, a file, a data set, a machine) cannot be used.

    The message says what was given, what is allowed and where to change it. Stages print it alone,
    without a traceback, and exit non-zero.
    """
