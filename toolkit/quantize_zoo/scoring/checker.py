"""OpenVINO's accuracy checker, wherever it is: an installed ``accuracy_checker``, openvino-dev's, or the overlay.

The overlay is openvino-dev 2023.3.0, the last release with the checker, unpacked without its pinned dependencies into a
folder of this Python environment, so that it runs on the current OpenVINO.
"""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

import openvino as ov

from quantize_zoo import errors

OVERLAY_VERSION = "2023.3.0"
OVERLAY_FOLDER = Path(sys.prefix) / "share" / "quantize-zoo" / f"openvino-dev-{OVERLAY_VERSION}"


@dataclass(frozen=True)
class Checker:
    """An accuracy checker that can be imported: its package name, where it is from, and its version."""

    package: str
    origin: str
    version: str

    def module(self, name: str = "") -> ModuleType:
        """Import one of the checker's modules."""
        return importlib.import_module(f"{self.package}.{name}" if name else self.package)


@cache
def find_checker() -> Checker:
    """Find and import the accuracy checker.

    Raises:
        ConfigurationError: there is none, or it cannot be imported.

    """
    if importlib.util.find_spec("accuracy_checker") is not None:
        return _import("accuracy_checker", "installed accuracy_checker")
    if _installed_openvino_dev():
        return _import("openvino.tools.accuracy_checker", "installed openvino-dev")
    if not (OVERLAY_FOLDER / "openvino" / "tools" / "accuracy_checker").is_dir():
        raise errors.no_accuracy_checker()
    _attach_overlay()
    return _import("openvino.tools.accuracy_checker", f"overlay openvino-dev {OVERLAY_VERSION}")


def install_overlay() -> None:
    """Unpack openvino-dev 2023.3.0 into the overlay folder, with pip.

    Raises:
        ConfigurationError: pip fails.

    """
    # The wheel is pure Python; its metadata exclude Pythons that came after it.
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--ignore-requires-python", "--upgrade", "--target", str(OVERLAY_FOLDER)]
    result = subprocess.run([*command, f"openvino-dev=={OVERLAY_VERSION}"], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        lines = [line for line in result.stderr.splitlines() if "ERROR" in line] or [f"pip exited {result.returncode}"]
        raise errors.checker_install_failed(lines[-1])
    find_checker.cache_clear()


def _installed_openvino_dev() -> bool:
    if importlib.util.find_spec("openvino.tools") is None:
        return False
    spec = importlib.util.find_spec("openvino.tools.accuracy_checker")
    # An overlay that was attached before is found in the same way.
    return spec is not None and not str(spec.origin).startswith(str(OVERLAY_FOLDER))


def _attach_overlay() -> None:
    tools = importlib.import_module("openvino.tools")
    overlay = str(OVERLAY_FOLDER / "openvino" / "tools")
    if overlay not in tools.__path__:
        tools.__path__.append(overlay)
    # The checker imports openvino.runtime, which newer releases have merged into openvino.
    if importlib.util.find_spec("openvino.runtime") is None:
        sys.modules["openvino.runtime"] = ov


def _import(package: str, origin: str) -> Checker:
    checker = Checker(package, origin, "")
    try:
        version = str(getattr(checker.module(), "__version__", "unknown"))
        for name in ("evaluators.quantization_model_evaluator", "launcher.input_feeder", "config"):
            checker.module(name)
    except Exception as error:  # anything can go wrong while third-party modules are imported
        raise errors.checker_broken(origin, errors.described(error)) from error
    return Checker(package, origin, version)
