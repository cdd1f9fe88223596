"""The kinds of errors, by what they mean for a run, and what their messages share."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from quantize_zoo.text.shown import shown

_PYBIND = "incompatible function arguments"


class QuantizeZooError(Exception):
    """A failure with its remedy; ``str()`` is the message for the terminal.

    Each of the texts is one line, without passwords and control characters, and of a length that people read. ``keys``
    lead to what is wrong within the part of the configuration that ``where`` names.
    """

    def __init__(self, what: str, *, where: str = "", remedy: str = "", keys: tuple[str | int, ...] = ()) -> None:
        what, where, remedy = shown(what), shown(where), shown(remedy)
        super().__init__(what, where, remedy)
        self.what = what
        self.where = where
        self.remedy = remedy
        self.keys = keys

    def __str__(self) -> str:
        located = f"{self.where}: {self.what}" if self.where else self.what
        return f"{located}\n  -> {self.remedy}" if self.remedy else located

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.what, self.where, self.remedy, self.keys)


def _rebuild(
    kind: type[QuantizeZooError], what: str, where: str, remedy: str, keys: tuple[str | int, ...]
) -> QuantizeZooError:
    return kind(what, where=where, remedy=remedy, keys=keys)


class ConfigurationError(QuantizeZooError):
    """Bad usage or configuration: nothing was run (exit status 2)."""


class DeviceUnavailableError(QuantizeZooError):
    """The machine has no such device: the cell is reported as unavailable."""


class CellError(QuantizeZooError):
    """A cell cannot go on; the others do (exit status 3)."""


class WorkerDiedError(CellError):
    """The cell's process is gone: nothing more can be evaluated in this cell."""


def nearest(wrong: str, known: Iterable[str]) -> str:
    """Say what is known, the nearest name first if there is one."""
    names = sorted(known)
    close = [name for name in names if name.lower() == wrong.lower()]
    close = close or difflib.get_close_matches(wrong, names, n=1, cutoff=0.6)
    listed = ", ".join(names) if names else "none"
    return f"did you mean {close[0]!r}? known: {listed}" if close else f"known: {listed}"


def did_you_mean(wrong: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Ask whether one of the up to three nearest names is meant; empty where none is near."""
    close = difflib.get_close_matches(wrong, list(known), n=3, cutoff=cutoff)
    return f"did you mean {', '.join(map(repr, close))}?" if close else ""


def message_of(error: BaseException) -> str:
    """Return the line of a library's error that says what is wrong.

    It is the last one of OpenVINO's: those before it name the source that threw. Where pybind refuses the arguments of
    a call, it lists every signature and then the arguments' own texts; it is the first one there. OpenCV quotes what it
    says over several lines, and has it apart from the source. An error of ours says what is wrong.
    """
    if isinstance(error, QuantizeZooError):
        return error.what
    if type(error).__module__ == "cv2" and isinstance(said := getattr(error, "err", None), str):
        return " ".join(said.replace(">", " ").split())
    lines = [line.strip() for line in str(error).splitlines() if any(map(str.isalnum, line))]
    if not lines:
        return type(error).__name__
    return lines[0].partition(_PYBIND)[0] + _PYBIND if _PYBIND in lines[0] else lines[-1]


def described(error: BaseException) -> str:
    """Return the type of an error and what it says, in one line."""
    told, name = message_of(error), type(error).__name__
    return name if told == name else f"{name}: {told}"
