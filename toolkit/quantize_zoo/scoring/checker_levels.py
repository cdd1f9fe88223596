"""The levels of the accuracy checker's configuration above its parts: a file, an entry, a dataset, and their keys."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from quantize_zoo import errors
from quantize_zoo.errors import ConfigurationError
from quantize_zoo.text.documents import Key

Where = Callable[[Sequence[Key]], str]  # file:line of keys
MODELS, EVALUATIONS = "models", "evaluations"  # the checker's two kinds of entries
FILE_KEYS = (MODELS, EVALUATIONS, "global_definitions")
ENTRY_KEYS = ("name", "launchers", "datasets")
EVALUATION_KEYS = ("name", "module", "module_config", "python_path")
_NEAR = 0.6  # as ``errors.nearest`` takes names for the same


def lacking(
    content: Mapping[str, Any], key: str, known: Iterable[str], keys: Sequence[Key], where: Where, what: str
) -> ConfigurationError:
    """Return the error of a mapping without a key that it needs; one that is written otherwise is told as such.

    Args:
        content: the mapping.
        key: what it lacks.
        known: all keys that it may have.
        keys: where the mapping stands.
        where: tells file and line of keys.
        what: what the mapping is, for the message.

    """
    names = tuple(known)
    meant = written_for(content, key, names)
    if meant is not None:
        return errors.unknown_key(where((*keys, meant)), meant, names)
    return errors.missing_checker_key(where(keys), what, key)


def written_for(content: Mapping[str, Any], key: str, known: Iterable[str]) -> str | None:
    """Return which of a mapping's unknown keys is meant as a key that it lacks; None if none is near."""
    others = [str(each) for each in content if each not in set(known)]
    return next(iter(difflib.get_close_matches(key, others, n=1, cutoff=_NEAR)), None)
