"""Samples as a model takes them: read and preprocessed once, by the checker's own readers and preprocessors."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import openvino as ov
from numpy.typing import NDArray

from quantize_zoo import errors
from quantize_zoo.graph.runtime import core
from quantize_zoo.scoring.checker import Checker
from quantize_zoo.scoring.checker_failures import cause_of, failed_part, lacks_package
from quantize_zoo.scoring.ground_truth import own_copy, with_ground_truth
from quantize_zoo.scoring.inputs import InputArrays, InputBudget
from quantize_zoo.scoring.launcher import DoesNotFitError, InputFitter, Inputs

_LISTED_BAD_SAMPLES = 5


@dataclass(frozen=True)
class Sample:
    """What the checker needs to know of one preprocessed sample, and where its inputs are kept.

    A sample takes one inference, or several: tiles of a picture, windows of a sequence. ``parts`` are the positions of
    their inputs. ``held`` is the annotation with its ground truth, if there is memory for that.
    """

    identifier: Any
    annotation: Any
    meta: list[dict[str, Any]]
    index: int
    parts: tuple[int, ...]
    held: Any = None

    @property
    def truth(self) -> Any:
        """The annotation to score by; what that reads is not kept by the dataset's."""
        return own_copy(self.annotation) if self.held is None else self.held


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
    fitter: InputFitter,
    model: ov.Model,
    budget: InputBudget,
    *,
    skip: bool,
    first: int | None = None,
) -> PreparedData:
    """Read and preprocess every sample of the checker's dataset.

    Args:
        checker: where the accuracy checker is.
        dataset: the checker's.
        preprocessor: the checker's.
        fitter: makes inputs of samples.
        model: takes the samples.
        budget: how much memory they may take.
        skip: leave out what cannot be read.
        first: stop after this many samples.

    Raises:
        CellError: there is no sample, or one cannot be read or does not fit the model.

    """
    shapes = input_shapes(model)
    extract = checker.module("utils").extract_image_representations
    config_error = checker.module("config").ConfigError
    preprocessor.input_shapes = fitter.shapes_for_preprocessing
    dataset.batch = 1
    if len(dataset) == 0:
        raise errors.empty_dataset("dataset")
    count = len(dataset) if first is None else min(first, len(dataset))
    arrays = InputArrays(count, budget)
    states = _StatesOfFp32(model, fitter)
    samples: list[Sample] = []
    bad: list[str] = []
    for index in range(count):
        identifier = dataset.identifiers[index]
        try:
            _, annotations, data, identifiers = dataset[index]
            data = preprocessor.process(data, annotations)
            meta = extract(data, meta_only=True)
        except Exception as error:  # readers and preprocessors raise whatever their libraries raise
            if skip:
                bad.append(sample_name(identifier))
                continue
            raise _unusable(error, sample_name(identifier)) from error
        filled = _fitted(fitter, data, meta, shapes, config_error, sample_name(identifier))
        parts = tuple(arrays.append({name: each[name] for name in shapes}) for each in states.carried(filled))
        samples.append(Sample(identifiers[0], annotations[0] if annotations else None, meta, len(samples), parts))
    if not samples:
        raise errors.all_samples_bad(bad[:_LISTED_BAD_SAMPLES])
    held = with_ground_truth([each.annotation for each in samples], arrays)  # after all inputs, which are used more
    kept = tuple(replace(sample, held=annotation) for sample, annotation in zip(samples, held, strict=True))
    return PreparedData(kept, arrays, tuple(bad))


def _fitted(
    fitter: InputFitter,
    data: Any,
    meta: Any,
    shapes: Mapping[str, ov.PartialShape],
    config_error: type[Exception],
    sample: str,
) -> list[Inputs]:
    """Return the model's inputs of a sample, one for each inference that it takes.

    Raises:
        CellError: the sample does not fit the model.

    """
    try:
        filled = fitter.fit(data, meta)
    except DoesNotFitError as error:
        name = fitter.tensor(error.name)
        raise errors.input_mismatch(name, shape_text(shapes[name]), str(error.given)) from error
    except Exception as error:  # the feeder takes for granted that values are texts and layouts known
        cause = str(error) if isinstance(error, config_error) else f"{type(error).__name__}: {error}"
        raise errors.inputs_not_told_apart(sample, cause) from error
    for each in filled:
        for name, shape in shapes.items():
            if name not in each or not shape.compatible(ov.PartialShape(each[name].shape)):
                given = str(each[name].shape) if name in each else "absent"
                raise errors.input_mismatch(name, shape_text(shape), given)
    return filled


def _unusable(error: Exception, sample: str) -> errors.QuantizeZooError:
    """Return the error of a sample that cannot be read, or not be preprocessed."""
    part = failed_part(error)
    if part is not None and part.key == "reader" and "NoneType" in str(error):  # what OpenCV returns for no picture
        return errors.sample_empty(sample)
    if part is not None and part.key == "preprocessing":
        lacking = lacks_package(error, f"preprocessor {part.name!r}", "preprocessing")
        return lacking or errors.preprocessing_failed(part.name, sample, cause_of(error))
    reader = part.name if part is not None and part.key == "reader" else ""
    return errors.sample_unreadable(sample, errors.message_of(error), reader)


class _StatesOfFp32:
    """Puts the FP32 model's states into the steps of a sample, where outputs of a step are inputs of the next.

    Candidates are scored with their own; ranges and latency are found with these.
    """

    def __init__(self, model: ov.Model, fitter: InputFitter) -> None:
        self._model = model
        self._fitter = fitter
        self._compiled: Any = None

    def carried(self, steps: list[Inputs]) -> Iterator[Inputs]:
        """Yield the inputs of a sample's inferences."""
        states: Inputs = {}
        for number, step in enumerate(steps):
            inputs = {**step, **states}
            yield inputs
            if self._fitter.carries_states and number + 1 < len(steps):
                outputs = self._infer(inputs)
                states = self._fitter.next_states(outputs)

    def _infer(self, inputs: Inputs) -> dict[str, NDArray[Any]]:
        if self._compiled is None:
            self._compiled = core().compile_model(self._model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        found = self._compiled(inputs)
        return {port.get_any_name(): found[number] for number, port in enumerate(self._model.outputs)}


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
