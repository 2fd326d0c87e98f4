"""The one error class for what a user can put right."""


class InputError(ValueError):
    """Something outside this code is not as it must be.

    The message names where (file, field), what was expected, what was found, and what to do; the
    runner and the command lines print it alone, without a traceback.
    """
