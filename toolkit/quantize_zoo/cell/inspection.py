"""Would a model's cells run? Told before: configuration, data, and one sample through the FP32 model."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import openvino as ov

from quantize_zoo import errors
from quantize_zoo.config import DeviceSpec, ModelConfig, hardware_path, load_hardware, search_stages
from quantize_zoo.config.yaml_source import read_yaml
from quantize_zoo.errors import ConfigurationError, QuantizeZooError
from quantize_zoo.graph import make_canonical, read_model
from quantize_zoo.quantization import ActivationStatistics, Pipeline
from quantize_zoo.scoring import (
    AccuracySession,
    checker_entry,
    compile_for_accuracy,
    counts_answers,
    evaluator_problem,
    find_checker,
    framework_note,
    hardware_target,
    missing_files,
    open_session,
    place_in_entry,
    resolution_note,
    unknown_keys,
    unknown_names,
    with_prefixes,
)

_AT_F32 = DeviceSpec(device="CPU", inference_precision="f32")
# Where in the checker's entry a fault is to be mended, by what its message says first.
_PLACES: dict[str, tuple[str | int, ...]] = {
    "dataset": ("datasets", 0),
    "model and dataset": ("datasets", 0, "preprocessing"),
    "accuracy checker": ("launchers", 0, "adapter"),
    "accuracy_checker: launcher": ("launchers", 0),
    "accuracy_checker: adapter": ("launchers", 0, "adapter"),
    "accuracy_checker": ("datasets", 0),
}


def inspect_model(config: ModelConfig, devices: Iterable[str], *, fast: bool) -> tuple[list[ConfigurationError], str]:
    """Return what is wrong with a model, its configuration or its data, and a remark on how it is scored.

    Args:
        config: a complete model of a matrix.
        devices: OpenVINO's names of those that it is quantized for.
        fast: look at the configuration alone, at no model and no data.

    """
    entry, where = with_prefixes(checker_entry(config), config), place_in_entry(config)
    note = framework_note(config)
    wrong = [*unknown_names(entry, where), *unknown_keys(entry, where)]
    if "evaluation" in entry and (problem := evaluator_problem(entry["evaluation"])):
        wrong.append(errors.custom_evaluator(where(()), problem))
    if config.zoo_name is not None:
        return wrong, "; ".join(filter(None, [note, "its model and data are looked at when it is run"]))
    if not fast:
        wrong += missing_files(entry, where)
    if fast or wrong:
        return wrong, note
    with tempfile.TemporaryDirectory(prefix="quantize-zoo-") as folder:
        fault, remark = _tried(config, devices, where, Path(folder))
    return [] if fault is None else [fault], "; ".join(filter(None, [note, remark]))


def _tried(
    config: ModelConfig, devices: Iterable[str], where: Callable[[Sequence[str | int]], str], folder: Path
) -> tuple[ConfigurationError | None, str]:
    """Return what is wrong with model or data; and a remark where the samples are too few for the target."""
    try:
        make_canonical(config.model, config.input_shapes, folder / "model.xml")
        model = read_model(folder / "model.xml")
        for target in dict.fromkeys(hardware_target(device) for device in devices):
            _place(model, config, target)
    except QuantizeZooError as error:
        return errors.not_ready(_line_of_model(config), error.what, error.remedy), ""
    try:
        session = open_session(find_checker(), config, model, first=1)
        values = session.try_first(compile_for_accuracy(model, _AT_F32))
    except QuantizeZooError as error:
        kind = error.where.removeprefix(f"{config.location}: ")
        place = where(_PLACES[kind]) if kind in _PLACES else error.where or _line_of_model(config)
        return errors.not_ready(place, error.what, error.remedy), ""
    params = config.optimizer.params
    if not isinstance(session, AccuracySession) or not counts_answers(values.get(config.metric)):
        return None, ""
    size = session.dataset_size
    tuning = min(size - int(size * params.holdout), params.eval_subset_size or size)
    return None, resolution_note(params.accuracy_loss, tuning)


def _place(model: ov.Model, config: ModelConfig, target: str) -> None:
    """Find out where FakeQuantize goes; raises if the model is quantized already or has nothing to quantize."""
    Pipeline(
        model.clone(),
        config.name,
        load_hardware(config.compression.hardware or hardware_path(target)),
        config.compression,
        _collect_nothing,
        lambda _: [],
        [stage.compression.tunable for stage in search_stages(config)],
        config.optimizer.params.compatibility,
    )


def _collect_nothing(*_: object) -> ActivationStatistics:
    raise AssertionError("statistics are collected when something is built")


def _line_of_model(config: ModelConfig) -> str:
    return read_yaml(config.source).where(("model",)) if config.source.is_file() else config.location
