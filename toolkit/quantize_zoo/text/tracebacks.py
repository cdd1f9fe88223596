"""Tracebacks: kept in a file for whoever mends the fault, and never shown."""

from __future__ import annotations

import tempfile
import traceback
from pathlib import Path

INTERNAL_ERROR = 70  # EX_SOFTWARE of sysexits.h: the exit status of a fault that is not the user's


def keep_traceback(error: BaseException) -> Path | None:
    """Write the traceback into a file of the temporary folder; return that, None where it cannot be written."""
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="quantize-zoo-", suffix=".log", delete=False, encoding="utf-8", errors="backslashreplace"
        ) as stream:
            traceback.print_exception(error, file=stream)
    except OSError:
        return None
    return Path(stream.name)
