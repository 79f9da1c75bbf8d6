"""What went wrong, said to the person who can mend it."""

from numbers import Integral


class InputError(ValueError):
    """Bad input. The message is one sentence that names the input and the mend."""


def whole(name: str, number: object, least: int = 1) -> int:
    """`number` as an int. InputError, with the name of the argument, where it is no whole number of at least `least`."""
    if not isinstance(number, Integral) or number < least:
        raise InputError(f"{name} is {number!r}: give a whole number of {least} or more")
    return int(number)
