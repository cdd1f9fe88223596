"""``python -m quantize_zoo`` is the command ``quantize-zoo``."""

from quantize_zoo.cli import main

main()
