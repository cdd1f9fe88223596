"""Samples as a model takes them: read and preprocessed once, by the checker's own readers and preprocessors."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from quantize_zoo import errors
from quantize_zoo.scoring.checker import Checker
from quantize_zoo.scoring.inputs import InputArrays, InputBudget

_LISTED_BAD_SAMPLES = 5


@dataclass(frozen=True)
class Sample:
    """What the checker needs to know of one preprocessed sample, and where its inputs are kept."""

    identifier: Any
    annotation: Any
    meta: list[dict[str, Any]]
    index: int


@dataclass(frozen=True)
class PreparedData:
    """All samples that can be read, their inputs, and the names of those that cannot."""

    samples: tuple[Sample, ...]
    inputs: InputArrays
    bad: tuple[str, ...]


def preprocess(
    checker: Checker,
    dataset: Any,
    preprocessor: Any,
    feeder: Any,
    model: ov.Model,
    budget: InputBudget,
    *,
    skip: bool,
) -> PreparedData:
    """Read and preprocess every sample of the checker's dataset.

    Args:
        checker: where the accuracy checker is.
        dataset: the checker's.
        preprocessor: the checker's.
        feeder: the checker's, see ``input_feeder``.
        model: takes the samples.
        budget: how much memory they may take.
        skip: leave out what cannot be read.

    Raises:
        CellError: there is no sample, or one cannot be read or does not fit the model.

    """
    shapes = input_shapes(model)
    dtypes = {port.get_any_name(): port.get_element_type().to_dtype() for port in model.inputs}
    extract = checker.module("utils").extract_image_representations
    preprocessor.input_shapes = _lengths(shapes)
    dataset.batch = 1
    if len(dataset) == 0:
        raise errors.empty_dataset("dataset")
    arrays = InputArrays(len(dataset), budget)
    samples: list[Sample] = []
    bad: list[str] = []
    for index in range(len(dataset)):
        identifier = dataset.identifiers[index]
        try:
            _, annotations, data, identifiers = dataset[index]
            data = preprocessor.process(data, annotations)
            meta = extract(data, meta_only=True)
            filled = feeder.fill_inputs(data)[0]
        except Exception as error:  # readers and preprocessors raise whatever their libraries raise
            if skip:
                bad.append(sample_name(identifier))
                continue
            raise errors.sample_unreadable(sample_name(identifier), str(error) or type(error).__name__) from error
        inputs = {
            name: _fitted(np.ascontiguousarray(value, dtype=dtypes[name]), shapes.get(name))
            for name, value in filled.items()
        }
        for name, shape in shapes.items():
            if name not in inputs or not shape.compatible(ov.PartialShape(inputs[name].shape)):
                given = str(inputs[name].shape) if name in inputs else "absent"
                raise errors.input_mismatch(name, shape_text(shape), given)
        for each in meta:  # some adapters ask; the checker's launcher tells
            each["input_shape"] = {name: inputs[name].shape for name in shapes}
        arrays.append({name: inputs[name] for name in shapes})
        samples.append(Sample(identifiers[0], annotations[0] if annotations else None, meta, len(samples)))
    if not samples:
        raise errors.all_samples_bad(bad[:_LISTED_BAD_SAMPLES])
    return PreparedData(tuple(samples), arrays, tuple(bad))


def input_shapes(model: ov.Model) -> dict[str, ov.PartialShape]:
    """Return the shape of each input; dimensions may be dynamic.

    Raises:
        CellError: the number of dimensions is dynamic.

    """
    shapes = {port.get_any_name(): port.get_partial_shape() for port in model.inputs}
    for name, shape in shapes.items():
        if shape.rank.is_dynamic:
            raise errors.dynamic_rank(name)
    return shapes


def shape_text(shape: ov.PartialShape) -> str:
    """Return a shape as people write it, (1, 3, ?, ?)."""
    if shape.is_static:
        return str(tuple(shape.to_shape()))
    return "(" + ", ".join(str(each) for each in shape) + ("," if len(shape) == 1 else "") + ")"


def input_feeder(checker: Checker, launcher_config: dict[str, Any], shapes: Mapping[str, ov.PartialShape]) -> Any:
    """Return the checker's object that fills inputs of these shapes as the launcher's configuration says.

    Raises:
        ConfigError: the checker's own, when that names an input that is not there.

    """
    lengths = _lengths(shapes)
    return checker.module("launcher.input_feeder").InputFeeder(
        launcher_config.get("inputs", []), lengths, lengths.__getitem__,
        default_layout=launcher_config.get("default_layout", "NCHW"),
    )  # fmt: skip


def _lengths(shapes: Mapping[str, ov.PartialShape]) -> dict[str, tuple[int, ...]]:
    """Return shapes as the checker writes them, -1 for what is dynamic."""
    return {
        name: tuple(-1 if each.is_dynamic else each.get_length() for each in shape) for name, shape in shapes.items()
    }


def _fitted(value: NDArray[Any], shape: ov.PartialShape | None) -> NDArray[Any]:
    """Return data with as many dimensions as an input if they differ in leading ones of 1 only, as the checker does."""
    if shape is None:
        return value
    surplus = value.ndim - len(shape)
    if surplus > 0 and set(value.shape[:surplus]) == {1}:
        return value.reshape(value.shape[surplus:])
    return value.reshape((1,) * -surplus + value.shape)


def sample_name(identifier: Any) -> str:
    """Return a sample's name; text of the checker's identifier for samples without a file has its memory address."""
    known = getattr(identifier, "annotation_id", None)
    return str(identifier) if known is None else str(known)


def sequence_of(identifier: Any) -> Hashable | None:
    """Return the video or utterance that the checker's identifier says a sample is a part of; None if it says none."""
    for names in (("video",), ("video_id",), ("file", "key", "id")):  # clips, frames of videos, frames of Kaldi's
        if all(hasattr(identifier, name) for name in names):
            return tuple(str(getattr(identifier, name)) for name in names if name != "id")
    return None
