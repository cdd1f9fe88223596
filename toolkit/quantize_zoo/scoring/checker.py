"""OpenVINO's accuracy checker, wherever it is: an installed ``accuracy_checker``, openvino-dev's, or the overlay.

The overlay is openvino-dev 2023.3.0, the last release with the checker, unpacked without its pinned dependencies into a
folder of this Python environment, or of the user where the environment is another's, so that it runs on the current
OpenVINO.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import site
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import openvino as ov

from quantize_zoo import errors
from quantize_zoo.scoring.pip import pip_cause, run_pip

OVERLAY_VERSION = "2023.3.0"
_SHARE = Path("share") / "quantize-zoo" / f"openvino-dev-{OVERLAY_VERSION}"
OVERLAY_FOLDER = Path(sys.prefix) / _SHARE
# Modules of it that use what NumPy had when they were written.
_OF_FORMER_NUMPY = (
    "annotation_converters.squad", "metrics.classification", "metrics.image_quality_assessment", "metrics.reid",
)  # fmt: skip
_CHECKER = Path("openvino", "tools", "accuracy_checker")


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
    overlay = find_overlay()
    if overlay is None:
        raise errors.no_accuracy_checker()
    _attach_overlay(overlay)
    return _import("openvino.tools.accuracy_checker", f"overlay openvino-dev {OVERLAY_VERSION}")


def install_overlay() -> Path:
    """Unpack openvino-dev 2023.3.0 into the first overlay folder that can be written, with pip; return the folder.

    Raises:
        ConfigurationError: none can be written, or pip fails.

    """
    folder = next((each for each in overlay_folders() if _can_be_made(each)), None)
    if folder is None:
        raise errors.checker_install_refused(overlay_folders())
    # The wheel is pure Python; its metadata exclude Pythons that came after it.
    done = run_pip(
        "install", "--quiet", "--no-deps", "--ignore-requires-python", "--upgrade", "--target", str(folder),
        f"openvino-dev=={OVERLAY_VERSION}",
    )  # fmt: skip
    if done.returncode != 0:
        raise errors.checker_install_failed(folder, pip_cause(done))
    find_checker.cache_clear()
    return folder


def overlay_folders() -> list[Path]:
    """Return where an overlay may be: in this Python environment, or in the user's own folder."""
    user = Path(site.getuserbase()) / _SHARE
    return [OVERLAY_FOLDER, *([user] if user != OVERLAY_FOLDER else [])]


def find_overlay() -> Path | None:
    """Return the overlay that is installed; None if none is."""
    return next((each for each in overlay_folders() if (each / _CHECKER).is_dir()), None)


def _can_be_made(folder: Path) -> bool:
    there = next(each for each in (folder, *folder.parents) if each.exists())
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)


def _installed_openvino_dev() -> bool:
    if importlib.util.find_spec("openvino.tools") is None:
        return False
    spec = importlib.util.find_spec("openvino.tools.accuracy_checker")
    # An overlay that was attached before is found in the same way.
    return spec is not None and not any(str(spec.origin).startswith(str(each)) for each in overlay_folders())


def _attach_overlay(folder: Path) -> None:
    tools = importlib.import_module("openvino.tools")
    overlay = str((folder / _CHECKER).parent)
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
    for name in _OF_FORMER_NUMPY:
        module = checker.module(name)
        module.np = _FormerNumpy(module.np)  # type: ignore[attr-defined]
    return Checker(package, origin, version)


class _FormerNumpy:
    """NumPy for modules of the checker that use what newer releases have taken away or refuse."""

    def __init__(self, numpy: ModuleType) -> None:
        self._numpy = numpy
        self.Infinity = numpy.inf  # the name that it had up to 2.0

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._numpy, name)
        setattr(self, name, found)  # metrics ask for each sample
        return found

    def where(self, condition: Any, *values: Any) -> Any:
        """Return where a condition holds: for a single value nowhere, or at the first place (refused since 2.1)."""
        return self._numpy.where(condition if values else self._numpy.atleast_1d(condition), *values)

    def trapz(self, *arguments: Any, **named: Any) -> Any:
        """Integrate by the trapezoidal rule, which has another name since 2.0."""
        former = getattr(self._numpy, "trapz", None)
        return (former or self._numpy.trapezoid)(*arguments, **named)
