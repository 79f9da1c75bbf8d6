"""gmnm: graphical models and neural models, married."""

__version__ = "0.1.0"
