"""What the operating system gives a command: arguments, variables, and the folder that it works in."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from quantize_zoo import errors

# Those that name files or the store, the accuracy checker's among them.
VARIABLES = (
    "QUANTIZE_ZOO_STORE", "DEFINITIONS_FILE", "DATA_DIR", "ANNOTATIONS_DIR", "MODELS_DIR", "MODEL_ATTRIBUTES_DIR",
)  # fmt: skip


def require_texts() -> None:
    """Refuse what is no text, which neither a store nor a report could hold.

    Raises:
        ConfigurationError: an argument, a variable or the working folder is not UTF-8, or the folder is gone.

    """
    try:
        folder = str(Path.cwd())
    except OSError as error:
        raise errors.no_working_folder(error.strerror or str(error)) from error
    variables = [(name, os.environ.get(name, "")) for name in VARIABLES]
    for what, text in (*(("argument", each) for each in sys.argv[1:]), *variables, ("working folder", folder)):
        if not _is_text(text):
            raise errors.no_text(what, text)


def _is_text(given: str) -> bool:
    """Tell whether something given is UTF-8; bytes that are not come in as surrogates."""
    try:
        given.encode()
    except UnicodeEncodeError:
        return False
    return True
