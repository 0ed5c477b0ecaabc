"""preceptor: align a language model with AI feedback, and show whether the feedback deserved it."""


def __getattr__(name: str) -> str:
    if name == "__version__":
        from importlib.metadata import version  # takes longer than all else that `preceptor --help` does here

        return version("preceptor")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
