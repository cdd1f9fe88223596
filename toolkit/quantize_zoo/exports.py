"""What is imported when it is asked for: whoever reads a store does without OpenVINO.

Of a package, the part that type checkers read is what there is; nothing is said twice.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from typing import Any


def exports_of(package: str) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a package whose file imports its exports under ``if TYPE_CHECKING``."""
    module = sys.modules[package]
    places: dict[str, tuple[str, str]] = {}

    def exported(name: str) -> Any:
        if not places:
            places.update(_places(module))
        if name not in places:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        source, original = places[name]
        __import__(source)  # not import_module, which -X importtime does not see
        found = getattr(sys.modules[source], original)
        setattr(module, name, found)
        return found

    return exported


class Later:
    """A module that is imported when something of it is asked for."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        """Import the module, and return what it has by that name."""
        __import__(self._name)  # see above
        return getattr(sys.modules[self._name], name)


def _places(module: Any) -> dict[str, tuple[str, str]]:
    """Return for each name the module that has it, and what it is called there."""
    tree = ast.parse(module.__loader__.get_source(module.__name__))
    checked = [each for each in tree.body if isinstance(each, ast.If)]
    imports = [line for part in checked for line in part.body if isinstance(line, ast.ImportFrom)]
    return {alias.asname or alias.name: (line.module or "", alias.name) for line in imports for alias in line.names}
