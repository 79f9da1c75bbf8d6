"""The classroom: notebooks made, run, released, checked and printed."""


class WorkFailed(Exception):
    """The input was good and the work on it failed. The message is one sentence."""
