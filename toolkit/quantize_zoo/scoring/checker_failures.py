"""Which part of the accuracy checker was at work when it failed.

Its parts raise whatever Python raises. Which of them it was is in the local variables of the frames that the error came
through: their methods have ``self``.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from quantize_zoo import errors
from quantize_zoo.errors import QuantizeZooError
from quantize_zoo.scoring.annotation_faults import missing_file, place_of
from quantize_zoo.scoring.checker import find_checker
from quantize_zoo.scoring.checker_levels import Where
from quantize_zoo.scoring.checker_parts import KINDS, parts_of
from quantize_zoo.text.documents import Key

_MAPPING = re.compile(r'^Invalid value "\{.*\}" for [^ :]+: ')  # a whole part of the configuration
_NO_PACKAGE = (
    re.compile(r"No module named '(\w+)"),
    re.compile(r"\b([\w.-]+) is not installed"),
    re.compile(r"\byou need ([\w.-]+) installed"),
)
_OF_NAMES = ("label_map", "label map", "meta")  # in an error, or in the line that raised it, where names are missing


@dataclass(frozen=True)
class FailedPart:
    """A part by what it is (``metric``) and its name; ``key`` is that of its kind in a dataset, ``config`` its own."""

    label: str
    name: str
    key: str
    config: Any


def failed_part(error: BaseException) -> FailedPart | None:
    """Return the part that was at work; None if none was."""
    found = None
    trace = error.__traceback__
    while trace is not None:
        found = _part_of(trace.tb_frame.f_locals.get("self")) or found  # the innermost one wins
        trace = trace.tb_next
    return found


def _part_of(value: Any) -> FailedPart | None:
    for key, kind in KINDS.items():
        if isinstance(value, kind.base_class):
            config = getattr(value, "config", None)
            name = getattr(value, "name", None) if key == "metrics" else None
            return FailedPart(kind.label, str(name or value.__provider__), key, config)
    return None


def is_said_by_checker(error: BaseException) -> bool:
    """Tell whether an error is the checker's own word on its configuration."""
    return isinstance(error, find_checker().module("config").ConfigError)


def cause_of(error: BaseException) -> str:
    """Return what is wrong; the checker's own errors say it in full."""
    if isinstance(error, KeyError):
        return f"the key {error} is missing"
    if not is_said_by_checker(error):
        return errors.described(error)
    return _MAPPING.sub("", errors.message_of(error)).replace(" for None:", ":")  # a field of no name


def lacks_package(error: BaseException, part: str, where: str) -> QuantizeZooError | None:
    """Return the error of a part that failed for want of a Python package; None if it failed otherwise.

    The checker has a stand-in for each that is not installed, which has nothing of what the package has.
    """
    stand_in = getattr(error, "obj", None)
    package = getattr(stand_in, "package", None) if type(stand_in).__name__ == "UnsupportedPackage" else None
    if package is None and isinstance(error, ImportError | ValueError):
        found = filter(None, (pattern.search(str(error)) for pattern in _NO_PACKAGE))
        package = next((each[1] for each in found), None)
    return None if package is None else errors.package_missing(part, package, where)


def cannot_be_made(error: Exception, entry: Mapping[str, Any], where: Where, meta: Any) -> QuantizeZooError:
    """Return the error of a dataset's parts that cannot be made.

    Args:
        error: what the checker raised.
        entry: as ``checker_entry`` returns it.
        where: tells file and line of its keys.
        meta: the dataset's meta data, as far as that was read.

    """
    part = failed_part(error)
    if part is None and is_said_by_checker(error):
        remedy = "correct the dataset's key that it speaks of"
        return errors.checker_configuration(where(("datasets", 0)), cause_of(error), remedy)
    conversion = entry["datasets"][0].get("annotation_conversion") or {}
    key = "annotation_conversion" if conversion or "annotation" not in entry["datasets"][0] else "annotation"
    if part is not None and (lacking := lacks_package(error, f"{part.label} {part.name!r}", where(_keys(part, entry)))):
        return lacking
    if part is None or part.key == "annotation_conversion":
        if (missing := missing_file(error)) is not None:
            return errors.data_missing(missing, where(("datasets", 0, key)), key)
        return errors.dataset_unusable(cause_of(error), place_of(error, conversion), where(("datasets", 0, key)), key)
    place = where(_keys(part, entry))
    if lacks_names(error, meta):
        return errors.no_names_of_classes(f"{part.label} {part.name!r}", place)
    return errors.part_unusable(f"{part.label} {part.name!r}", cause_of(error), place)


def lacks_names(error: BaseException, meta: Any) -> bool:
    """Tell whether a part failed for want of the names of classes, which a dataset's meta data have."""
    names = meta.get("label_map") if isinstance(meta, Mapping) else None
    raised_by = traceback.extract_tb(error.__traceback__)[-1].line or ""
    return not names and any(sign in f"{error} {raised_by}" for sign in _OF_NAMES)


def _keys(part: FailedPart, entry: Mapping[str, Any]) -> tuple[Key, ...]:
    """Return the keys of a part in the entry: of several of one type those of the one with its configuration."""
    same = [each for each in parts_of(entry) if each.keys[2:3] == (part.key,)]
    exact = [each for each in same if each.config == part.config]
    return next((each.keys for each in exact), ("datasets", 0, part.key))
