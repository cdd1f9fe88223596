"""File names out of any text."""

from __future__ import annotations

import hashlib
import re

LONGEST = 120
_DIGITS = 8
_UNSAFE = re.compile(r"[^A-Za-z0-9._@=,+\[\]-]")
_MARKED = re.compile(rf"-[0-9a-f]{{{_DIGITS}}}$")


def slug(text: str) -> str:
    """Return a file name for a text: safe, at most 120 characters, and another one for every other text.

    Letters, digits and ``._@=,+[]-`` stay; anything else becomes a dash, and leading dots and dashes go. Where that
    changes the text, or it is cut, a dash and eight digits of its SHA-256 follow. A text that already ends like that
    gets them too: else it could be the name of another one.
    """
    kept = _UNSAFE.sub("-", text).lstrip(".-")
    if kept == text and 0 < len(text) <= LONGEST and not _MARKED.search(text):
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]
    return f"{kept[: LONGEST - _DIGITS - 1] or '_'}-{digest}"
