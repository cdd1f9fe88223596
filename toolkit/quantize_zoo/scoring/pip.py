"""pip of this interpreter, and what it says is wrong."""

from __future__ import annotations

import subprocess
import sys


def run_pip(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run pip and wait for it; it asks nothing."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments]
    return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)


def pip_cause(done: subprocess.CompletedProcess[str]) -> str:
    """Return what pip says is wrong: its first error, which the network's may stand before, or its last line.

    Where pip itself fails, it prints ``ERROR: Exception:`` and a traceback, whose last line is the cause.
    """
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    told = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    if not lines:
        return f"pip exited {done.returncode}"
    return lines[-1] if not told or told[0] == "Exception:" else told[0]
