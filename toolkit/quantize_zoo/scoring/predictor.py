"""What a model's outputs say of a sample, in the accuracy checker's terms: its adapter and its postprocessing."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantize_zoo import errors
from quantize_zoo.scoring.adapter_outputs import output_keys
from quantize_zoo.scoring.checker_failures import cause_of, failed_part, lacks_package
from quantize_zoo.scoring.launcher import InputFitter
from quantize_zoo.scoring.preprocessing import Sample, sample_name

Outputs = dict[str, NDArray[Any]]  # of one inference
_FLOATING = "f"  # NumPy's kind of types


@dataclass(frozen=True)
class LabelRange:
    """The smallest and the largest label of a dataset, each with the sample that has it; None without labels."""

    ends: tuple[tuple[int, str], ...] = ()

    @staticmethod
    def of(annotations: Iterable[Any]) -> LabelRange:
        """Look at annotations; those of other kinds than classes have no label."""
        found = [
            (int(each.label), sample_name(each.identifier))
            for each in annotations
            if isinstance(getattr(each, "label", None), int | np.integer)
        ]
        return LabelRange((min(found), max(found))) if found else LabelRange()

    def require(self, classes: int, outputs: Callable[[], str]) -> None:
        """Refuse labels that a model with so many classes does not know; ``outputs`` is asked for its words then.

        Raises:
            CellError: there is one.

        """
        for label, sample in self.ends:
            if not 0 <= label < classes:
                raise errors.label_out_of_range(sample, label, classes, outputs())


@dataclass(frozen=True)
class Predictor:
    """Makes predictions of outputs.

    ``adapter`` is the checker's, None if predictions are the outputs; ``name`` is the adapter's in messages. The
    ``postprocessor`` is the checker's, too; ``fitter`` knows the names that outputs have for adapters. ``labels`` are
    those of the whole dataset, ``first_choices`` how many of the best classes of a sample each metric looks at.
    """

    adapter: Any
    name: str
    postprocessor: Any
    fitter: InputFitter
    labels: LabelRange
    first_choices: Mapping[str, int]

    def predict(self, sample: Sample, outputs: Sequence[Outputs]) -> tuple[list[Any], list[Any]]:
        """Return annotation and prediction of a sample, each as a list of one, from the outputs of its inferences.

        Raises:
            CellError: an output is NaN, adapter or postprocessing do not take them, or a class is none of the model's.

        """
        identifier = sample_name(sample.identifier)
        for name, value in ((name, value) for each in outputs for name, value in each.items()):
            if value.dtype.kind == _FLOATING and np.isnan(value).any():
                raise errors.outputs_not_numbers(name, identifier)
        truth = sample.truth
        annotation = [copy.deepcopy(truth) if self.postprocessor.has_processors else truth]
        predicted = [self.fitter.named_for_adapters(each) for each in outputs]
        if self.adapter is not None:
            try:
                predicted = self.adapter.process(predicted, [sample.identifier], sample.meta)
            except Exception as error:  # adapters raise whatever indexing a wrong output raises
                if "label map" in str(error):
                    raise errors.no_names_of_classes(f"adapter {self.name!r}") from error
                if lacking := lacks_package(error, f"adapter {self.name!r}", "accuracy checker"):
                    raise lacking from error
                names = list(outputs[0]) if outputs else []
                if isinstance(error, KeyError) and error.args and error.args[0] in self._named_by_adapter():
                    raise errors.no_such_output(self.name, error.args[0], names) from error
                keys = output_keys(self.adapter)
                raise errors.adapter_failed(self.name, names, identifier, cause_of(error), keys) from error
            if not predicted:  # what a plugin that miscounts makes of a batch
                shapes = ", ".join(str(value.shape) for each in outputs for value in each.values())
                cause = f"it predicts nothing of shapes {shapes}"
                raise errors.adapter_failed(self.name, outputs[0], identifier, cause, output_keys(self.adapter))
        try:
            processed: tuple[list[Any], list[Any]] = self.postprocessor.process_batch(
                annotation, predicted, sample.meta
            )
        except Exception as error:  # postprocessors raise what another task's prediction or annotation raises
            part = failed_part(error)
            step = part.name if part is not None and part.key == "postprocessing" else ""
            if lacking := lacks_package(error, f"postprocessor {step!r}", "postprocessing"):
                raise lacking from error
            if isinstance(error, OSError):
                what = f"postprocessor {step!r}"
                raise errors.annotation_file_unreadable(what, identifier, errors.message_of(error)) from error
            raise errors.postprocessing_failed(step, identifier, cause_of(error)) from error
        self._check_classes(truth, processed[1][0])
        return processed

    def _named_by_adapter(self) -> list[str]:
        """Return the texts of the adapter's configuration, outputs among them."""
        config = getattr(self.adapter, "launcher_config", None)
        values = list(config.values()) if isinstance(config, Mapping) else []
        listed = [each for value in values for each in (value if isinstance(value, list) else [value])]
        return [each for each in listed if isinstance(each, str)]

    def _check_classes(self, truth: Any, prediction: Any) -> None:
        """Check that labels, and how many of the best classes metrics look at, are within the model's classes."""
        scores: Any = getattr(prediction, "scores", None)
        label: Any = getattr(truth, "label", None)
        if np.ndim(scores) != 1 or not isinstance(label, int | np.integer) or not hasattr(prediction, "top_k"):
            return  # scores of boxes are none of classes
        classes = np.size(scores)
        self.labels.require(classes, self._other_output)
        for metric, count in self.first_choices.items():
            if count > classes:
                raise errors.too_few_classes(metric, count, classes, self._other_output())

    def _other_output(self) -> str:
        """Say which output the adapter reads, and how it is told to read another; nothing if there is but one."""
        read = None if self.adapter is None else self.fitter.output_read(self.adapter)
        return (
            "" if read is None else errors.other_output(self.name, read.name, self.fitter.outputs, read.how_to_choose)
        )
