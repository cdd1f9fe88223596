"""What a model answered for each sample: enough to compare it with another model, or with itself on another day."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantize_zoo import errors
from quantize_zoo.quantization.arrays import arrays_of, write_arrays
from quantize_zoo.scoring.contents import Contents
from quantize_zoo.scoring.replicates import Replicates

_CONTENTS = "data"  # what the file calls what is of no single model
Pair = tuple[Any, Any]  # the checker's annotation and prediction of a sample


@dataclass(frozen=True)
class Answers:
    """Answers of one model on a dataset.

    ``digests`` (samples,) are hashes of all outputs, ``texts`` what a person would call the answer (a class, or the
    value of the metric), ``values`` (samples,) the metric of each sample where it has such, ``confidences`` (samples,)
    the score of the right class where there is one. Of metrics of whole datasets ``replicates`` tell how certain they
    are; ``pairs``, in memory only, are what those are computed from.
    """

    metric: str
    metrics: dict[str, float]
    identifiers: NDArray[np.str_]
    digests: NDArray[np.uint64]
    texts: NDArray[np.str_]
    values: NDArray[np.float64] | None
    confidences: NDArray[np.float64] | None = None
    replicates: Replicates | None = field(default=None, compare=False)
    pairs: tuple[Pair, ...] = field(default=(), compare=False, repr=False)

    def ordered_as(self, other: Answers) -> Answers:
        """Return these answers in the order of the other's samples.

        Raises:
            CellError: the samples are not the same ones.

        """
        mine, theirs = np.argsort(self.identifiers, kind="stable"), np.argsort(other.identifiers, kind="stable")
        if not np.array_equal(self.identifiers[mine], other.identifiers[theirs]):
            raise errors.other_baseline([f"samples ({len(self.identifiers)} and {len(other.identifiers)})"])
        order = np.empty_like(mine)
        order[theirs] = mine
        return Answers(
            metric=self.metric,
            metrics=self.metrics,
            identifiers=self.identifiers[order],
            digests=self.digests[order],
            texts=self.texts[order],
            values=None if self.values is None else self.values[order],
            confidences=None if self.confidences is None else self.confidences[order],
            replicates=self.replicates,  # the order of the samples does not matter to their groups
            pairs=tuple(self.pairs[index] for index in order) if self.pairs else (),
        )

    def only(self, chosen: Sequence[int]) -> Answers:
        """Return the answers for these samples; metrics only where they are means of single samples, no replicates."""
        values = None if self.values is None else self.values[chosen]
        return Answers(
            metric=self.metric,
            metrics={} if values is None else {self.metric: float(values.mean())},
            identifiers=self.identifiers[chosen],
            digests=self.digests[chosen],
            texts=self.texts[chosen],
            values=values,
            confidences=None if self.confidences is None else self.confidences[chosen],
            pairs=tuple(self.pairs[index] for index in chosen) if self.pairs else (),
        )


def digest_of(inferences: Sequence[Mapping[str, NDArray[Any]]]) -> np.uint64:
    """Return a hash of a sample's outputs, of all inferences that it takes."""
    digest = hashlib.blake2b(digest_size=8)
    for outputs in inferences:
        for name in sorted(outputs):
            digest.update(np.ascontiguousarray(outputs[name]).tobytes())
    number: np.uint64 = np.frombuffer(digest.digest(), dtype=np.uint64)[0]
    return number


def confidence_of(annotation: Any, prediction: Any) -> float | None:
    """Return the score that a classifier gives the right class."""
    label: Any = getattr(annotation, "label", None)
    scores: Any = getattr(prediction, "scores", None)
    if np.ndim(scores) != 1 or not isinstance(label, int | np.integer) or not hasattr(prediction, "top_k"):
        return None
    return float(scores[label])


def text_of(prediction: Any, value: float | None) -> str:
    """Return what a person would call the answer."""
    scores = getattr(prediction, "scores", None)
    if scores is not None and hasattr(prediction, "label") and np.ndim(scores) == 1 and np.size(scores) > 1:
        return str(int(np.argmax(scores)))
    return "" if value is None else f"{value:.4g}"


def answers_name(model: str, member: str) -> str:
    """Return what a file calls the answers of ``fp32`` or ``int8`` on a member of a fleet; empty for one that leads."""
    return f"{model} on {member}" if member else model


def write_answers(path: Path, answers: Mapping[str, Answers], contents: Contents) -> None:
    """Write the answers of several models to one file, with what the samples are.

    Raises:
        CellError: it cannot be written.

    """
    arrays: dict[str, Any] = {f"{_CONTENTS}.{name}": value for name, value in vars(contents).items()}
    for name, each in answers.items():
        arrays[f"{name}.metric"] = np.array(each.metric)
        arrays[f"{name}.metric_names"] = np.array(list(each.metrics), dtype=np.str_)
        arrays[f"{name}.metric_values"] = np.array(list(each.metrics.values()), dtype=np.float64)
        arrays[f"{name}.identifiers"], arrays[f"{name}.digests"] = each.identifiers, each.digests
        arrays[f"{name}.texts"] = each.texts
        if each.values is not None:
            arrays[f"{name}.values"] = each.values
        if each.confidences is not None:
            arrays[f"{name}.confidences"] = each.confidences
        if each.replicates is not None:
            arrays[f"{name}.replicates"] = each.replicates.values
            arrays[f"{name}.replicate_sizes"] = each.replicates.sizes
    try:
        write_arrays(path, arrays, np.savez_compressed)
    except OSError as error:
        raise errors.model_export_failed(path, errors.message_of(error)) from error


def read_answers(path: Path) -> dict[str, Answers]:
    """Read what ``write_answers`` wrote.

    Raises:
        CellError: the file is missing or is no such file.

    """
    try:
        with arrays_of(path) as stored:
            names = sorted({key.rpartition(".")[0] for key in stored.files} - {_CONTENTS})
            return {name: _answers(stored, name) for name in names}
    except ValueError as error:
        raise errors.answers_unreadable(path, str(error)) from error


def read_contents(path: Path) -> Contents | None:
    """Read what the samples are; None if a release up to 0.1.0 wrote the file, which did not say.

    Raises:
        CellError: the file is missing or is no such file.

    """
    try:
        with arrays_of(path) as stored:
            if f"{_CONTENTS}.identifiers" not in stored.files:
                return None
            return Contents(**{each.name: stored[f"{_CONTENTS}.{each.name}"] for each in fields(Contents)})
    except ValueError as error:
        raise errors.answers_unreadable(path, str(error)) from error


def _answers(stored: Any, name: str) -> Answers:
    keys = stored[f"{name}.metric_names"].tolist()
    return Answers(
        metric=str(stored[f"{name}.metric"]),
        metrics=dict(zip(keys, stored[f"{name}.metric_values"].tolist(), strict=True)),
        identifiers=stored[f"{name}.identifiers"],
        digests=stored[f"{name}.digests"],
        texts=stored[f"{name}.texts"],
        values=stored[f"{name}.values"] if f"{name}.values" in stored.files else None,
        confidences=stored[f"{name}.confidences"] if f"{name}.confidences" in stored.files else None,
        replicates=Replicates(stored[f"{name}.replicates"], stored[f"{name}.replicate_sizes"])
        if f"{name}.replicates" in stored.files
        else None,
    )
