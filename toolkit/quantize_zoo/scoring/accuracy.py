"""The accuracy checker as a session: data are read and preprocessed once, then any number of models is scored.

Annotation conversion, reading, preprocessing, adapter, postprocessing and metrics are the checker's own; only its
launcher is replaced, since the checker would read the data again for every model.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Generator, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from quantize_zoo import errors
from quantize_zoo.config import ModelConfig
from quantize_zoo.config.yaml_source import read_yaml
from quantize_zoo.scoring.checker import Checker

# Is told the values of each sample by metric; True ends the pass.
Watch = Callable[[Mapping[str, Any]], bool]
_REQUESTS_A_STREAM = 2  # one runs, one waits, so that no stream idles while Python looks at an answer
PathPrefixes = ("source", "annotations", "models", "model_attributes")


@dataclass(frozen=True)
class AccuracyResult:
    """All metrics of a model by name, and per-sample values (samples,) of those that have them.

    Of a pass that was ended early there are no metrics.
    """

    metrics: dict[str, float]
    per_sample: dict[str, NDArray[np.float64]]
    samples: int


@dataclass(frozen=True)
class _Sample:
    """One preprocessed sample (batch size 1)."""

    identifier: Any
    annotation: Any
    meta: list[dict[str, Any]]
    inputs: dict[str, NDArray[Any]]


def checker_entry(config: ModelConfig) -> dict[str, Any]:
    """Return the model's entry of the accuracy checker's configuration.

    Raises:
        ConfigurationError: the configuration lacks what is needed.

    """
    if isinstance(config.accuracy_checker, Path):
        source = read_yaml(config.accuracy_checker, config.location)
        content, where = source.data, str(source.path)
    else:
        content, where = config.accuracy_checker, config.location
    models = content.get("models") if isinstance(content, dict) else None
    if not isinstance(models, list) or not models or not isinstance(models[0], dict):
        raise errors.checker_configuration(where, "it needs a list 'models' with one entry")
    entry: dict[str, Any] = models[0]
    for key in ("launchers", "datasets"):
        if not isinstance(entry.get(key), list) or not entry[key] or not isinstance(entry[key][0], dict):
            raise errors.checker_configuration(where, f"models[0] needs a list {key!r} with one entry")
    return entry


def checker_metrics(config: ModelConfig) -> list[str]:
    """Return the names of the metrics in the accuracy checker's configuration.

    Raises:
        ConfigurationError: the configuration lacks what is needed, a metric included.

    """
    entry = checker_entry(config)
    names = [metric_name(metric) for metric in entry["datasets"][0].get("metrics") or []]
    if not names:
        raise errors.checker_configuration(config.location, "models[0].datasets[0] names no metric")
    return names


def require_metric(config: ModelConfig) -> None:
    """Check that the tuned metric is one of the accuracy checker's.

    Raises:
        ConfigurationError: it is not, or the configuration lacks what is needed.

    """
    names = checker_metrics(config)
    if config.metric not in names:
        raise errors.unknown_metric(f"{config.location}: metric", config.metric, names)


def metric_name(metric: Mapping[str, Any]) -> str:
    """Return the name under which the checker reports a metric."""
    return str(metric.get("name", metric.get("type")))


class AccuracySession:
    """Preprocessed samples and the checker's scoring chain for one dataset.

    Args:
        checker: where the accuracy checker is.
        config: the model's YAML.
        model: the FP32 model with batch size 1; all models scored later have its inputs and outputs.

    Raises:
        ConfigurationError: the checker refuses its configuration.
        CellError: the dataset is empty or unreadable, or does not fit the model.

    """

    def __init__(self, checker: Checker, config: ModelConfig, model: ov.Model) -> None:
        resolved = _with_prefixes(checker, checker_entry(config), config.data_folder)
        dataset_config = resolved["datasets"][0]
        launcher_config = resolved["launchers"][0]
        where = f"{config.location}: accuracy_checker"
        evaluator = checker.module("evaluators.quantization_model_evaluator")
        config_error = checker.module("config").ConfigError
        try:
            parts = evaluator.create_dataset_attributes([dataset_config], "")
            adapter_config = launcher_config.get("adapter")
            self._adapter = checker.module("adapters").create_adapter(adapter_config) if adapter_config else None
        except config_error as error:
            # The checker has one message for an annotation that is not named and for one without samples.
            named = "annotation" in dataset_config or "annotation_conversion" in dataset_config
            if named and "path to converted annotation" in str(error):
                raise errors.empty_dataset(where) from error
            raise errors.checker_configuration(where, str(error)) from error
        except Exception as error:  # converters raise what their file formats raise
            raise errors.dataset_unusable(f"{type(error).__name__}: {error}") from error
        self._dataset, self._metrics, self._preprocessor, self._postprocessor = parts
        self._adapter_name = str(adapter_config)
        if self._adapter is not None:
            self._adapter.label_map = (self._dataset.metadata or {}).get("label_map")
            self._adapter.output_blob = self._adapter.output_blob or model.outputs[0].get_any_name()
        self._outputs = [port.get_any_name() for port in model.outputs]
        self._samples = self._preprocess(checker, launcher_config, model)

    def __len__(self) -> int:
        return len(self._samples)

    def inputs(self, indices: Sequence[int] | None = None) -> list[dict[str, NDArray[Any]]]:
        """Return the preprocessed inputs of these samples, of all by default."""
        return [sample.inputs for sample in self._chosen(indices)]

    def labels(self) -> list[Hashable | None]:
        """Return the label of every sample; None for annotations without a single one."""
        found = (getattr(sample.annotation, "label", None) for sample in self._samples)
        return [label if isinstance(label, Hashable) else None for label in found]

    def fingerprint(self) -> str:
        """Return a hash of all preprocessed inputs, identifiers and annotations."""
        digest = hashlib.sha256()
        for sample in self._samples:
            annotation = vars(sample.annotation) if sample.annotation is not None else {}
            digest.update(json.dumps([str(sample.identifier), annotation], default=str, sort_keys=True).encode())
            for name in sorted(sample.inputs):
                digest.update(name.encode())
                digest.update(sample.inputs[name].data)
        return digest.hexdigest()

    def score(self, compiled: Any, indices: Sequence[int] | None = None, watch: Watch | None = None) -> AccuracyResult:
        """Score a compiled model on these samples, on all by default.

        Adapter and metrics run while the next samples are inferred: on models that take longer than they do, they
        cost nothing.

        Raises:
            CellError: inference fails, the adapter does not fit, or a metric is not a single number.

        """
        self._metrics.reset()
        annotations: list[Any] = []
        predictions: list[Any] = []
        per_sample: dict[str, list[Any]] = {}
        samples = self._chosen(indices)
        count = 0
        outputs = self._infer(compiled, samples)
        for sample, raw in zip(samples, outputs, strict=True):
            annotation, prediction = self._predict(sample, raw)
            results, _ = self._metrics.update_metrics_on_batch([count], annotation, prediction)
            values = {result.metric_name: result.result for result in results[count]}
            count += 1
            for name, value in values.items():
                per_sample.setdefault(name, []).append(value)
            if self._metrics.need_store_predictions:
                annotations += annotation
                predictions += prediction
            if watch is not None and watch(values):
                outputs.close()
                break
        metrics = {}
        if count == len(samples):
            for _, result in self._metrics.iterate_metrics(annotations, predictions):
                metrics[result.name] = _scalar(result.name, result.evaluated_value)
        kept = {name: _numbers(values, count) for name, values in per_sample.items()}
        return AccuracyResult(metrics, {name: values for name, values in kept.items() if values is not None}, count)

    def _chosen(self, indices: Sequence[int] | None) -> list[_Sample]:
        return self._samples if indices is None else [self._samples[index] for index in indices]

    def _infer(self, compiled: Any, samples: Sequence[_Sample]) -> Generator[dict[str, NDArray[Any]], None, None]:
        """Yield the outputs sample by sample; requests for the next ones run meanwhile."""
        queue: Any = ()
        try:
            wanted = _REQUESTS_A_STREAM * compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
            queue = ov.AsyncInferQueue(compiled, wanted)
            for index in range(len(samples) + wanted):
                request = queue[index % wanted]
                raw = None
                if index >= wanted:
                    request.wait()
                    raw = {name: request.get_output_tensor(port).data.copy() for port, name in enumerate(self._outputs)}
                if index < len(samples):
                    request.start_async(samples[index].inputs, share_inputs=True)
                if raw is not None:
                    yield raw
        except RuntimeError as error:
            raise errors.inference_failed("inference", errors.message_of(error)) from error
        finally:
            for request in queue:
                request.wait()

    def _predict(self, sample: _Sample, raw: dict[str, NDArray[Any]]) -> tuple[list[Any], list[Any]]:
        annotation = [copy.deepcopy(sample.annotation)] if self._postprocessor.has_processors else [sample.annotation]
        try:
            predicted = self._adapter.process([raw], [sample.identifier], sample.meta) if self._adapter else [raw]
            processed: tuple[list[Any], list[Any]] = self._postprocessor.process_batch(
                annotation, predicted, sample.meta
            )
        except Exception as error:  # adapters raise whatever indexing a wrong output raises
            cause = f"{type(error).__name__}: {error}"
            raise errors.adapter_failed(self._adapter_name, self._outputs, cause) from error
        return processed

    def _preprocess(self, checker: Checker, launcher_config: dict[str, Any], model: ov.Model) -> list[_Sample]:
        shapes = {port.get_any_name(): tuple(port.get_shape()) for port in model.inputs}
        dtypes = {port.get_any_name(): port.get_element_type().to_dtype() for port in model.inputs}
        feeder = checker.module("launcher.input_feeder").InputFeeder(
            launcher_config.get("inputs", []), shapes, shapes.__getitem__,
            default_layout=launcher_config.get("default_layout", "NCHW"),
        )  # fmt: skip
        extract = checker.module("utils").extract_image_representations
        self._preprocessor.input_shapes = shapes
        self._dataset.batch = 1
        if len(self._dataset) == 0:
            raise errors.empty_dataset("dataset")
        samples = []
        for index in range(len(self._dataset)):
            identifier = self._dataset.identifiers[index]
            try:
                _, annotations, data, identifiers = self._dataset[index]
                data = self._preprocessor.process(data, annotations)
                meta = extract(data, meta_only=True)
                filled = feeder.fill_inputs(data)[0]
            except Exception as error:  # readers and preprocessors raise whatever their libraries raise
                raise errors.sample_unreadable(str(identifier), str(error) or type(error).__name__) from error
            inputs = {name: np.ascontiguousarray(value, dtype=dtypes[name]) for name, value in filled.items()}
            for name, shape in shapes.items():
                if name not in inputs or inputs[name].shape != shape:
                    given = str(inputs[name].shape) if name in inputs else "absent"
                    raise errors.input_mismatch(name, str(shape), given)
            samples.append(_Sample(identifiers[0], annotations[0] if annotations else None, meta, inputs))
        return samples


def _with_prefixes(checker: Checker, entry: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Resolve the entry's relative paths as the checker's command does with its path options."""
    content = {"models": [copy.deepcopy(entry)]}
    reader = checker.module("config").ConfigReader
    reader._merge_paths_with_prefixes(dict.fromkeys(PathPrefixes, folder), content)
    resolved: dict[str, Any] = content["models"][0]
    return resolved


def _scalar(name: str, value: Any) -> float:
    values = np.asarray(value, dtype=np.float64)
    if values.size != 1:
        raise errors.metric_not_scalar(name)
    return float(values.reshape(()))


def _numbers(values: list[Any], count: int) -> NDArray[np.float64] | None:
    if len(values) != count or any(np.ndim(value) != 0 for value in values):
        return None
    return np.asarray(values, dtype=np.float64)
