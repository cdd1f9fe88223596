"""What must not be shown: passwords in URLs, on pages, in files and in messages."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

_HIDDEN = "***"
_SECRET = r"[\w.-]*(?:password|passwd|pwd|secret|token)[\w.-]*|odbc_connect"
_SECRET_NAME = re.compile(_SECRET, re.IGNORECASE)
_PARAMETER = re.compile(rf"((?:[?&;]|(?<![\w.-]))(?:{_SECRET})=)[^&;#\s'\"]+", re.IGNORECASE)
# A password may itself contain an @, so the last one ends it; in quotes it may contain spaces, too. A scheme is looked
# for where a word begins only: what has none takes linear time.
_CREDENTIALS = re.compile(
    r"""(['"])?((?:--[\w-]+=)?(?<![\w.+])[a-z][\w.+-]*://[^\s:/'"]*:)(?(1)(?:(?!\1).)*@|\S*@)""", re.IGNORECASE
)
_WHOLE_CREDENTIALS = re.compile(r"(://[^:/]*:).*@", re.DOTALL)


def mask_url(url: str) -> str:
    """Return a database URL without its password, and without parameters that are one.

    Of what is no URL, nothing is shown after the first colon.
    """
    if _parsed(url) is None:
        start, colon, _ = url.partition(":")
        return f"{start}:{_HIDDEN}" if colon else _PARAMETER.sub(rf"\1{_HIDDEN}", url)
    # Not SQLAlchemy's render_as_string: of a password that contains an @ it shows what follows that.
    return _WHOLE_CREDENTIALS.sub(rf"\1{_HIDDEN}@", _PARAMETER.sub(rf"\1{_HIDDEN}", url))


def mask_urls(text: str, url: str = "") -> str:
    """Return a text (a command line, a driver's message) with the passwords of all URLs in it masked.

    The secrets of ``url`` are masked wherever they stand in the text.
    """
    if url:
        text = text.replace(url, mask_url(url))
        for secret in sorted(_secrets(url), key=len, reverse=True):
            text = text.replace(secret, _HIDDEN)
    if "=" in text:
        text = _PARAMETER.sub(rf"\1{_HIDDEN}", text)
    return _CREDENTIALS.sub(_without_password, text) if "://" in text else text


def _without_password(found: re.Match[str]) -> str:
    return f"{found[1] or ''}{found[2]}{_HIDDEN}@"


def _parsed(url: str) -> URL | None:
    from sqlalchemy.engine import make_url  # as long as all else that an error message needs
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(url)
    except (ArgumentError, ValueError):  # a port that is no number is a ValueError
        return None


def _secrets(url: str) -> set[str]:
    """Return what is secret in a URL, as it is, and in the ways to write it in one."""
    parsed = _parsed(url) if url else None
    if parsed is None:
        return set()
    values = [str(parsed.password or "")]
    for name, value in parsed.query.items():
        if _SECRET_NAME.fullmatch(name):
            values += [value] if isinstance(value, str) else value
    return {written for value in values if value for written in (value, quote(value, safe=""), quote_plus(value))}
