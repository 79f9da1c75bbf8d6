"""What went wrong, said to the person who can mend it."""


class InputError(ValueError):
    """Bad input. The message is one sentence that names the input and the mend."""
