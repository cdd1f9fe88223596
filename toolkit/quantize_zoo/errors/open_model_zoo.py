"""Open Model Zoo: its names, its downloader and its converter."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

from quantize_zoo.errors.kinds import CellError, ConfigurationError


def no_open_model_zoo() -> ConfigurationError:
    """An ``omz:`` model without openvino-dev."""
    return ConfigurationError(
        "openvino-dev with Open Model Zoo is not installed", remedy="run: quantize-zoo doctor --install-checker"
    )


def unknown_zoo_model(name: str, known: Iterable[str]) -> ConfigurationError:
    """Open Model Zoo has no model of this name."""
    close = difflib.get_close_matches(name, sorted(known), n=3, cutoff=0.5)
    return ConfigurationError(
        f"Open Model Zoo has no model {name!r}",
        where="omz",
        remedy=f"did you mean {', '.join(close)}?" if close else "names are those of omz_info_dumper --print_all",
    )


def zoo_model_without_checker(name: str) -> ConfigurationError:
    """Open Model Zoo has the model and no accuracy-check.yml for it."""
    return ConfigurationError(
        f"Open Model Zoo has no accuracy-check.yml for {name!r}", where="omz", remedy="name one with accuracy_checker"
    )


def zoo_download_failed(name: str, folder: Path, cause: str) -> CellError:
    """omz_downloader failed."""
    return CellError(
        f"downloading {name} failed: {cause}",
        where="Open Model Zoo",
        remedy=f"check the network, or put the model's files into {folder}",
    )


def zoo_conversion_failed(name: str, model: Path, cause: str) -> CellError:
    """omz_converter failed."""
    return CellError(
        f"converting {name} failed: {cause}",
        where="Open Model Zoo",
        remedy=f"convert it with openvino-dev 2023.3 in an environment of its own, and put the IR to {model}",
    )
