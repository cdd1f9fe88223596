"""File names of names: any text gives one that is safe, and no two texts give the same."""

from __future__ import annotations

import hashlib
import re

LONGEST = 120  # characters; with a suffix well below the 255 bytes that file systems take
_MARK = 8  # hex digits of the hash that marks a name as changed


def slug(name: str) -> str:
    """Return a file name for any text: itself if that is safe, else what is safe of it and a mark of its own.

    What GitHub's artifacts or a shell cannot take (``:``, ``/``, spaces, control characters, a leading dash or dot) is
    replaced.
    """
    safe = re.sub(r"[^A-Za-z0-9._@=,+\[\]-]", "-", name)
    return _marked(re.sub(r"^[.-]+", "-", safe).lstrip("-"), name)


def model_slug(name: str) -> str:
    """Return a model's name for any text, as ``slug`` does, without what tells devices apart in names of cells."""
    return _marked(re.sub(r"[^A-Za-z0-9._-]", "-", name).lstrip("._-"), name)


def _marked(safe: str, name: str) -> str:
    """Return what is safe of a name, with a mark of its own where it was changed or could be another one's."""
    if safe == name and 0 < len(safe) <= LONGEST and not _looks_marked(safe):
        return safe
    mark = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_MARK]
    return f"{safe[: LONGEST - _MARK - 1]}-{mark}" if safe else mark


def _looks_marked(name: str) -> bool:
    """Tell whether a name could be another one's slug; then it gets a mark of its own."""
    return re.search(rf"(^|-)[0-9a-f]{{{_MARK}}}$", name) is not None
