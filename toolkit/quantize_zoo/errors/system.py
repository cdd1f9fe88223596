"""What the operating system refuses: no fault of this program, wherever it turns up."""

from __future__ import annotations

import errno

from quantize_zoo.errors.kinds import CellError, ConfigurationError, QuantizeZooError

FREE_SPACE = "free disk space; then run again"
_FULL = dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), FREE_SPACE)
_FORBIDDEN = dict.fromkeys(
    (errno.EACCES, errno.EPERM, errno.EROFS),
    "let the file be read, and written where it is to be, or name another",
)
_SPENT = dict.fromkeys((errno.EMFILE, errno.ENFILE), "allow more open files: ulimit -n 4096") | {
    errno.ENOMEM: "free memory, or run fewer cells at a time; then run again"
}
_REMEDIES = _FULL | _FORBIDDEN | _SPENT


def refused_by_system(error: BaseException) -> QuantizeZooError | None:
    """Return what is wrong with the machine or its files where it is not this program; None for other errors."""
    if isinstance(error, MemoryError):
        return CellError("there is not enough memory", remedy=_SPENT[errno.ENOMEM])
    if not isinstance(error, OSError) or error.errno not in _REMEDIES:
        return None
    kind = ConfigurationError if error.errno in _FORBIDDEN else CellError
    return kind(str(error.strerror), where=str(error.filename or ""), remedy=_REMEDIES[error.errno])
