"""What the operating system gives a command: arguments, variables, and the folder that it works in."""

from __future__ import annotations

import os
import sys
from itertools import pairwise
from pathlib import Path

from quantize_zoo import errors

# Those that name files or the store, the accuracy checker's among them.
VARIABLES = (
    "QUANTIZE_ZOO_STORE", "DEFINITIONS_FILE", "DATA_DIR", "ANNOTATIONS_DIR", "MODELS_DIR", "MODEL_ATTRIBUTES_DIR",
)  # fmt: skip

_MAY_BE_EMPTY = ("--reason", "--expected-change", "--devices")  # texts that are empty by default, or told otherwise
_NO_HOME = "/nonexistent"  # as Debian says it of users that have none


def require_texts() -> None:
    """Refuse what is no text, which neither a store nor a report could hold.

    Raises:
        ConfigurationError: an argument, a variable or the working folder is not UTF-8, or the folder is gone; or an
            argument is empty, of which a path would be the working folder.

    """
    try:
        folder = str(Path.cwd())
    except OSError as error:
        raise errors.no_working_folder(error.strerror or str(error)) from error
    variables = [(name, os.environ.get(name, "")) for name in VARIABLES]
    for what, text in (*(("argument", each) for each in sys.argv[1:]), *variables, ("working folder", folder)):
        if not _is_text(text):
            raise errors.no_text(what, text)
    for before, argument in pairwise(sys.argv):
        option, is_given, value = argument.partition("=")
        if not argument and before not in _MAY_BE_EMPTY:
            raise errors.empty_argument(before if before.startswith("-") else "")
        if option.startswith("--") and is_given and not value and option not in _MAY_BE_EMPTY:
            raise errors.empty_argument(option)


def give_home() -> None:
    """Give a user without an entry in the system's list, as in a container, a home folder that is not there.

    Without any, OpenVINO cannot even be imported.
    """
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = _NO_HOME


def _is_text(given: str) -> bool:
    """Tell whether something given is UTF-8; bytes that are not come in as surrogates."""
    try:
        given.encode()
    except UnicodeEncodeError:
        return False
    return True
