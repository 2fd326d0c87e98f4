"""The one error class for what a user can put right."""


class InputError(ValueError):
    """Something outside this code is not as it must be.

    The message names where (file, field), what was expected, what was found, and what to do; the
    runner and the command lines print it alone, without a traceback. What a file names can hold
    anything; here nothing of it moves a terminal's cursor or looks like another line.
    """

    def __str__(self) -> str:
        return "".join(
            c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in super().__str__()
        )
