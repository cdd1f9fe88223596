"""A dataset whose annotation says two things of one sample: the checker keeps the last and tells nobody."""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType
from typing import Any

import numpy as np

from quantize_zoo import errors


class LabelledOnce:
    """Looks at the annotations from which the checker makes a dataset inside a ``with`` block.

    Args:
        evaluator: the checker's module whose provider of annotations looks them up by sample, so that only one is left.

    """

    def __init__(self, evaluator: ModuleType) -> None:
        self._evaluator = evaluator
        self._provider = evaluator.AnnotationProvider
        self._contradiction: tuple[Any, Any, Any] | None = None
        self.stranger: str | None = None  # the type of what stands among the annotations and is none
        self.meta: Any = None  # what the annotation's conversion told beside it: names of classes, and others

    def __enter__(self) -> LabelledOnce:
        def provide(annotations: Iterable[Any], meta: Any, *arguments: Any, **options: Any) -> Any:
            listed = list(annotations)
            self.stranger = next((type(each).__name__ for each in listed if not hasattr(each, "identifier")), None)
            self._contradiction = _contradiction(listed)
            self.meta = meta
            return self._provider(listed, meta, *arguments, **options)

        self._evaluator.AnnotationProvider = provide  # type: ignore[attr-defined]
        return self

    def __exit__(self, *_: object) -> None:
        self._evaluator.AnnotationProvider = self._provider  # type: ignore[attr-defined]

    def require(self) -> None:
        """Refuse what was found.

        Raises:
            CellError: a sample has two labels.

        """
        if self._contradiction is not None:
            identifier, first, second = self._contradiction
            raise errors.two_labels(str(getattr(identifier, "annotation_id", identifier)), str(first), str(second))


def _contradiction(annotations: Iterable[Any]) -> tuple[Any, Any, Any] | None:
    """Return the first sample with two labels, and these; annotations of other kinds are not looked at."""
    labels: dict[str, Any] = {}
    for each in annotations:
        label = getattr(each, "label", None)
        if isinstance(label, int | str | np.integer):
            known = labels.setdefault(str(each.identifier), label)
            if known != label:
                return each.identifier, known, label
    return None
