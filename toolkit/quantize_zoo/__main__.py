"""The command ``quantize-zoo``, also as ``python -m quantize_zoo``.

A spawned process imports its parent's script again: what only the command needs must not cost every cell a second.
"""

import sys


def main() -> None:
    """Run the command."""
    from quantize_zoo import interrupts

    interrupts.listen()
    try:
        from quantize_zoo.cli import main as run_command
    except Exception as error:  # a library is missing or broken: status 1 would be a regression
        sys.exit(_broken(error))
    run_command()


def _broken(error: Exception) -> int:
    """Tell that the installation is; what is not needed for that may be what is broken."""
    from quantize_zoo.text.tracebacks import INTERNAL_ERROR, keep_traceback

    log = keep_traceback(error)
    print(f"error: quantize-zoo cannot be loaded: {type(error).__name__}: {error}", file=sys.stderr)
    print(f"  -> install it again; the traceback is in {log}", file=sys.stderr)
    return INTERNAL_ERROR


if __name__ == "__main__":
    main()
