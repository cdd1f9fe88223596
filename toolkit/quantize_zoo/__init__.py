"""Tune, score and gate INT8 models of a whole zoo with OpenVINO."""

__version__: str


def __getattr__(name: str) -> str:
    """Look the version up when it is asked for: until the command listens to signals, nothing should take long."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import version

    return version("quantize-zoo")
