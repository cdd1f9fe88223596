"""The command ``quantize-zoo``, also as ``python -m quantize_zoo``.

A spawned process imports its parent's script again: what only the command needs must not cost every cell a second.
"""


def main() -> None:
    """Run the command."""
    from quantize_zoo import interrupts

    interrupts.listen()
    from quantize_zoo.cli import main as run_command

    run_command()


if __name__ == "__main__":
    main()
