"""Where the configurations that ship with the package lie: inside an installed wheel, or in the source tree."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def _shipped() -> Path:
    installed = _PACKAGE / "model_zoo_configs"
    return installed if installed.is_dir() else _PACKAGE.parents[1] / "model_zoo_configs"


def default_matrix_path() -> Path:
    """Return the matrix of the embedded zoo."""
    return _shipped() / "embedded.yml"


def schema_path(name: str) -> Path:
    """Return the shipped JSON Schema of ``model`` or ``matrix``, for editors."""
    return _shipped() / "schemas" / f"{name}.schema.json"


def hardware_path(name: str) -> Path:
    """Return the shipped hardware configuration of a target such as ``CPU``."""
    return _shipped() / "hardware" / f"{name.lower()}.yml"
