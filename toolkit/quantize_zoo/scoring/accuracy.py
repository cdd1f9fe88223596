"""The accuracy checker as a session: data are read and preprocessed once, then any number of models is scored.

Annotation conversion, reading, preprocessing, adapter, postprocessing and metrics are the checker's own; only its
launcher is replaced, since the checker would read the data again for every model.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from PIL import Image

from quantize_zoo import errors
from quantize_zoo.config import ModelConfig
from quantize_zoo.graph.states import is_stateful
from quantize_zoo.scoring.answers import Answers, confidence_of, digest_of, text_of
from quantize_zoo.scoring.checker import Checker
from quantize_zoo.scoring.checker_config import checker_entry, place_in_entry, with_prefixes
from quantize_zoo.scoring.checker_dataset import open_dataset
from quantize_zoo.scoring.checker_failures import cause_of, lacks_package
from quantize_zoo.scoring.checker_metrics import CheckerMetrics
from quantize_zoo.scoring.contents import Contents, read_through
from quantize_zoo.scoring.inference import Inference
from quantize_zoo.scoring.inputs import IN_MEMORY, InputBudget
from quantize_zoo.scoring.launcher import DoesNotFitError, InputFitter, added_outputs
from quantize_zoo.scoring.metric_values import is_single
from quantize_zoo.scoring.predictor import LabelRange, Outputs, Predictor
from quantize_zoo.scoring.preprocessing import Sample, input_shapes, preprocess, sample_name, sequence_of
from quantize_zoo.scoring.replicates import groups_of, replicates_of

# Is told the values of each sample by metric; True ends the pass.
Watch = Callable[[Mapping[str, Any]], bool]
_THUMBNAIL = (96, 96)


@dataclass(frozen=True)
class AccuracyResult:
    """All metrics of a model by name, and per-sample values (samples,) of those that have them.

    A metric with a value for each class counts as their mean, as the checker prints it. Of a pass that was ended early
    there are no metrics.
    """

    metrics: dict[str, float]
    per_sample: dict[str, NDArray[np.float64]]
    samples: int


class AccuracySession:
    """Preprocessed samples and the checker's scoring chain for one dataset.

    Args:
        checker: where the accuracy checker is.
        config: the model's YAML.
        model: the FP32 model; all models scored later have its inputs and outputs.
        budget: how much memory the preprocessed inputs may take.
        dataset: the number of the dataset among the entry's; the first is the one that is tuned on.
        first: read this many samples only.

    Raises:
        ConfigurationError: the checker refuses its configuration.
        CellError: the dataset is empty or unreadable, or does not fit the model.

    """

    def __init__(
        self,
        checker: Checker,
        config: ModelConfig,
        model: ov.Model,
        budget: InputBudget = IN_MEMORY,
        dataset: int = 0,
        first: int | None = None,
    ) -> None:
        resolved = with_prefixes(checker_entry(config), config)
        resolved["datasets"] = [resolved["datasets"][dataset]]
        where = f"{config.location}: accuracy_checker"
        locate = place_in_entry(config, dataset)
        input_shapes(model)  # the launcher needs the number of dimensions
        found = open_dataset(checker, resolved, locate)
        self._dataset = found.data
        self._metrics = CheckerMetrics(found.metrics, resolved["datasets"][0].get("metrics"), config.metric)
        self._fitter = _fitter(checker, resolved["launchers"][0], model, where)
        adapter = _adapter(checker, resolved["launchers"][0], self._dataset, self._fitter, where)
        skip = config.on_bad_sample == "skip"
        data = preprocess(
            checker, self._dataset, found.preprocessor, self._fitter, model, budget, skip=skip, first=first
        )
        self._samples, self._inputs, self.bad_samples = data.samples, data.inputs, data.bad
        kept = found.annotations if first is not None else [each.annotation for each in data.samples]
        name = _adapter_name(resolved["launchers"][0].get("adapter"))
        self._predictor = Predictor(
            adapter,
            name,
            found.postprocessor,
            self._fitter,
            LabelRange.of(kept),
            {} if found.metrics is None else self._metrics.first_choices,
        )
        self.notes = (*found.notes, *(() if adapter is None else _notes(name, self._fitter, adapter)))
        # Of each sample the sequence that it is a step of, for models with states; None where samples stand alone.
        self._stateful = is_stateful(model)
        self.sequences = _sequences(data.samples) if self._stateful else None
        self._outputs = tuple(port.get_any_name() for port in model.outputs)

    def __len__(self) -> int:
        return len(self._samples)

    @property
    def dataset_size(self) -> int:
        """How many samples the dataset has, also those that were not read."""
        return len(self._dataset)

    def inputs(self, indices: Sequence[int] | None = None) -> Sequence[Mapping[str, NDArray[Any]]]:
        """Return the preprocessed inputs of these samples, of all by default: one for each inference that they take.

        As ``Steps`` where states are carried.
        """
        return self._inference.fed(self._chosen(indices))

    def labels(self) -> list[Hashable | None]:
        """Return the label of every sample; None for annotations without a single one."""
        found = (getattr(sample.annotation, "label", None) for sample in self._samples)
        return [label if isinstance(label, Hashable) else None for label in found]

    def identifiers(self) -> list[str]:
        """Return the name of every sample."""
        return [sample_name(sample.identifier) for sample in self._samples]

    def write_thumbnail(self, identifier: str, path: Path) -> bool:
        """Write a small picture of a sample; tell whether it is one."""
        source = getattr(self._dataset.data_reader, "data_source", None)
        if not isinstance(source, str | Path):
            return False
        try:
            with Image.open(Path(source) / identifier) as picture:
                small = picture.convert("RGB")
        except (OSError, ValueError):  # no file, or no picture
            return False
        small.thumbnail(_THUMBNAIL)
        path.parent.mkdir(parents=True, exist_ok=True)
        small.save(path)
        return True

    def higher_is_better(self, metric: str) -> bool:
        """Tell which way a metric gets better, as the checker says."""
        return self._metrics.higher_is_better(metric)

    def require_separable(self) -> None:
        """Refuse to let another process infer where what a sample is fed depends on the answer before.

        Raises:
            CellError: it does.

        """
        if self._fitter.carries_states:
            raise errors.fed_with_answers("an LSTM_INPUT of the launcher")

    @property
    def contents(self) -> Contents:
        """What the samples are; the first use reads every input."""
        return self._read_through[0]

    def fingerprint(self) -> str:
        """Return a hash of all preprocessed inputs, identifiers and annotations."""
        return self.contents.fingerprint

    def former_fingerprint(self) -> str:
        """Return what releases up to 0.1.0 called these data, in the folder where they lie."""
        return self._read_through[1]

    @cached_property
    def _read_through(self) -> tuple[Contents, str]:
        return read_through(self._samples, self._inputs)

    def score(self, compiled: Any, indices: Sequence[int] | None = None, watch: Watch | None = None) -> AccuracyResult:
        """Score a compiled model on these samples, on all by default; values of samples are in the order of these.

        Metrics are told of samples in the dataset's order, on which some depend (videos), unless they are watched.
        Adapter and metrics run while the next samples are inferred: on models that take longer than they do, they
        cost nothing.

        Raises:
            CellError: inference fails, an output is NaN, the adapter does not fit, or a metric is not a single number.

        """
        self._metrics.begin_pass()
        annotations: list[Any] = []
        predictions: list[Any] = []
        per_sample: dict[str, list[Any]] = {}
        samples = self._chosen(indices)
        order = np.argsort([sample.index for sample in samples], kind="stable")
        if watch is not None:
            order = np.arange(len(samples))
        samples = [samples[position] for position in order]
        count = 0
        outputs = self._inference.outputs_of(compiled, samples)
        for sample in samples:
            annotation, prediction = self._predictor.predict(sample, _outputs_of(sample, outputs))
            results = self._metrics.update(count, annotation, prediction)
            values = {result.metric_name: result.result for result in results[count]}
            count += 1
            for name, value in values.items():
                per_sample.setdefault(name, []).append(value)
            if self._metrics.need_predictions:
                annotations += annotation
                predictions += prediction
            if watch is not None and watch(values):
                outputs.close()
                break
        metrics = self._metrics.evaluate(annotations, predictions) if count == len(samples) else {}
        kept = {name: _numbers(values, count) for name, values in per_sample.items()}
        as_asked = np.argsort(order[:count], kind="stable")
        found = {name: values[as_asked] for name, values in kept.items() if values is not None}
        return AccuracyResult(metrics, found, count)

    def try_first(self, compiled: Any) -> dict[str, NDArray[np.float64]]:
        """Take the first sample through a compiled model, adapter, postprocessing and metrics; raises as ``score``.

        Returns its values (1,) of metrics that have such.
        """
        self._metrics.begin_pass()
        samples = self._samples[:1]
        outputs = list(self._inference.outputs_of(compiled, samples))
        annotation, prediction = self._predictor.predict(samples[0], outputs)
        found = self._metrics.update(0, annotation, prediction)
        if self._metrics.tunes_a_value:  # which values a metric has is known once it is evaluated
            self._metrics.evaluate(annotation, prediction)
        values = {result.metric_name: _numbers([result.result], 1) for result in found[0]}
        return {name: value for name, value in values.items() if value is not None}

    def answers(self, compiled: Any, metric: str, indices: Sequence[int] | None = None) -> Answers:
        """Return what a compiled model answers for these samples, for all by default; raises as ``score``."""
        return self.answers_of(self._inference.outputs_of(compiled, self._chosen(indices)), metric, indices)

    def answers_of(
        self, outputs: Iterable[dict[str, NDArray[Any]]], metric: str, indices: Sequence[int] | None = None
    ) -> Answers:
        """Return the same of outputs, one inference after the other, wherever they were inferred."""
        samples = self._chosen(indices)
        self._metrics.begin_pass()
        pairs: list[tuple[Any, Any]] = []
        digests, texts, values, confidences = [], [], [], []
        inferred = iter(outputs)
        for number, sample in enumerate(samples):
            raw = _outputs_of(sample, inferred)
            digests.append(digest_of(raw))
            annotation, prediction = self._predictor.predict(sample, raw)
            results = self._metrics.update(number, annotation, prediction)
            value = next((each.result for each in results[number] if each.metric_name == metric), None)
            values.append(value)
            texts.append(text_of(prediction[0], float(value) if value is not None and is_single(value) else None))
            confidences.append(confidence_of(annotation[0], prediction[0]))
            pairs.append((annotation[0], prediction[0]))
        metrics = self._metrics.evaluate([each for each, _ in pairs], [each for _, each in pairs])
        numbers = _numbers(values, len(values)) if all(value is not None for value in values) else None
        is_mean = numbers is not None and np.isclose(numbers.mean(), metrics[metric], rtol=1e-9, atol=1e-9)
        return Answers(
            metric=metric,
            metrics=metrics,
            identifiers=np.array([sample_name(sample.identifier) for sample in samples], dtype=np.str_),
            digests=np.array(digests, dtype=np.uint64),
            texts=np.array(texts, dtype=np.str_),
            values=numbers if is_mean else None,
            confidences=None if None in confidences else np.array(confidences, dtype=np.float64),
            pairs=() if is_mean else tuple(pairs),
        )

    def replicated(self, answers: Answers) -> Answers:
        """Return answers with the replicates of a metric that single samples do not have; see ``replicate``.

        Raises:
            CellError: the metric cannot be computed.

        """
        if not answers.pairs or answers.replicates is not None:
            return answers
        units: list[Hashable] = answers.identifiers.tolist()
        if self.sequences is not None:
            sequence = dict(zip(self.identifiers(), self.sequences, strict=True))
            units = [sequence[str(name)] for name in units]

        groups, metric = groups_of(units), answers.metric
        if len(groups) < 2:
            return answers
        values = self._metrics.values_without(answers.pairs, metric, answers.metrics[metric], groups)
        return replace(answers, replicates=replicates_of(values, groups))

    def part(self, answers: Answers, chosen: Sequence[int]) -> Answers:
        """Return the answers for these samples, with the metric on them, and its replicates where it has such.

        Raises:
            CellError: the metric cannot be computed.

        """
        some = answers.only(sorted(chosen))  # some metrics depend on the order, which is the dataset's in a pass
        if some.values is not None or not some.pairs:
            return some
        return self.replicated(replace(some, metrics={some.metric: self._metric_of(some.pairs, some.metric)}))

    def _metric_of(self, pairs: Sequence[tuple[Any, Any]], metric: str) -> float:
        return self._metrics.value_of(pairs, metric)

    @property
    def _inference(self) -> Inference:
        return Inference(self._inputs, self._outputs, self._fitter, self._stateful, self.sequences)

    def _chosen(self, indices: Sequence[int] | None) -> Sequence[Sample]:
        return self._samples if indices is None else [self._samples[index] for index in indices]


def _outputs_of(sample: Sample, outputs: Iterator[Outputs]) -> list[Outputs]:
    """Take the outputs of one sample's inferences."""
    return list(itertools.islice(outputs, len(sample.parts)))


def _sequences(samples: Sequence[Sample]) -> list[Hashable] | None:
    found = [sequence_of(sample.identifier) for sample in samples]
    return None if None in found else found


def _fitter(checker: Checker, launcher: Mapping[str, Any], model: ov.Model, where: str) -> InputFitter:
    try:
        fitter = InputFitter(checker, launcher, model)
    except DoesNotFitError as error:
        cause = f"input {error.name!r} does not take {error.given!r}: {error.cause}"
        raise errors.checker_configuration(f"{where}: launcher", cause, "correct 'inputs' of the launcher") from error
    except Exception as error:  # the checker does not look whether there are mappings where it needs them
        remedy = "correct the launcher's key that it speaks of: its inputs are those of the model"
        raise errors.checker_configuration(f"{where}: launcher", cause_of(error), remedy) from error
    if added := added_outputs(launcher, model):
        raise errors.outputs_to_add(f"{where}: launcher", added, [port.get_any_name() for port in model.outputs])
    return fitter


def _adapter(
    checker: Checker, launcher: Mapping[str, Any], dataset: Any, fitter: InputFitter, where: str
) -> Any | None:
    config = launcher.get("adapter")
    if not config:
        return None
    try:
        adapter = checker.module("adapters").create_adapter(copy.deepcopy(config), None, dataset)
    except Exception as error:  # adapters raise what the values of their parameters raise
        if lacking := lacks_package(error, f"adapter {_adapter_name(config)!r}", f"{where}: adapter"):
            raise lacking from error
        remedy = "correct the adapter's parameter that it speaks of"
        raise errors.checker_configuration(f"{where}: adapter", cause_of(error), remedy) from error
    if (absent := fitter.prepare_adapter(adapter)) is not None:
        raise errors.no_such_output(_adapter_name(config), absent, fitter.outputs)
    return adapter


def _notes(name: str, fitter: InputFitter, adapter: Any) -> Iterator[str]:
    """Say which of several outputs is scored where nobody chose one."""
    read = fitter.output_read(adapter)
    if read is not None and not read.is_named:
        outputs = ", ".join(fitter.outputs)
        yield f"adapter {name!r} reads {read.name!r}, the first of the outputs {outputs}; {read.how_to_choose}"


def _adapter_name(config: Any) -> str:
    return str(config.get("type") if isinstance(config, Mapping) else config)


def _numbers(values: list[Any], count: int) -> NDArray[np.float64] | None:
    if len(values) != count or not all(map(is_single, values)):
        return None
    return np.asarray(values, dtype=np.float64)
