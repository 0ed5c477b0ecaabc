"""preceptor: align a language model with AI feedback, and show whether the feedback deserved it."""

from importlib.metadata import version

__version__ = version("preceptor")
