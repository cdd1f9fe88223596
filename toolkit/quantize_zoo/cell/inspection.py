"""Would a model's cells run? Told before: configuration, data, and one sample through the FP32 model."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import openvino as ov

from quantize_zoo import errors
from quantize_zoo.cell.room import require_room
from quantize_zoo.config import (
    DeviceSpec,
    FleetSpec,
    MatrixConfig,
    ModelConfig,
    hardware_path,
    load_hardware,
    search_stages,
    stages_note,
)
from quantize_zoo.config.yaml_source import read_yaml
from quantize_zoo.errors import ConfigurationError, QuantizeZooError
from quantize_zoo.graph import make_canonical, read_model, require_memory, require_model
from quantize_zoo.quantization import ActivationStatistics, Pipeline
from quantize_zoo.scoring import (
    AccuracySession,
    Where,
    checker_entry,
    compile_for_accuracy,
    counts_answers,
    entry_notes,
    evaluator_problem,
    faults_of,
    fed_with_answers,
    find_checker,
    hardware_target,
    open_session,
    place_in_entry,
    place_in_yaml,
    place_of_model,
    resolution_note,
    with_prefixes,
)

_AT_F32 = DeviceSpec(device="CPU", inference_precision="f32")
# Where in the checker's entry a fault is to be mended, by what its message says first.
_PLACES: dict[str, tuple[str | int, ...]] = {
    "dataset": ("datasets", 0),
    "preprocessing": ("datasets", 0, "preprocessing"),
    "postprocessing": ("datasets", 0, "postprocessing"),
    "metrics": ("datasets", 0, "metrics"),
    "model and dataset": ("datasets", 0, "preprocessing"),
    "accuracy checker": ("launchers", 0, "adapter"),
    "accuracy_checker: launcher": ("launchers", 0),
    "accuracy_checker: adapter": ("launchers", 0, "adapter"),
    "accuracy_checker": ("datasets", 0),
}
# The same in the model's own YAML.
_OWN_PLACES: dict[str, tuple[str | int, ...]] = {
    "input_shapes": ("input_shapes",),
    "benchmark": ("optimizer", "params", "benchmark", "batch_size"),
}


@dataclass(frozen=True)
class Inspection:
    """What is wrong with a model, its configuration or its data, and a remark on how it is scored.

    ``unknown_keys`` are those that the checker does not know: it passes most of them over.
    """

    refusals: Sequence[ConfigurationError]
    unknown_keys: Sequence[ConfigurationError] = ()
    note: str = ""


def inspect_model(
    config: ModelConfig,
    devices: Iterable[str],
    *,
    fast: bool,
    scored: bool = True,
    lenient: bool = False,
    dataset: int = 0,
) -> Inspection:
    """Look at a model, its configuration and its data.

    Args:
        config: a complete model of a matrix.
        devices: OpenVINO's names of those that it is quantized for.
        fast: look at the configuration alone, at no model and no data.
        scored: an accuracy is asked for, and not calibration alone.
        lenient: look at model and data also where there are keys that the checker does not know.
        dataset: the number of the dataset among the entry's.

    """
    entry, where = with_prefixes(checker_entry(config), config), place_in_entry(config, dataset)
    entry["datasets"] = [entry["datasets"][dataset]]
    from_zoo = config.zoo_name is not None
    found = list(faults_of(entry, where, files=not fast and not from_zoo, scored=scored))
    refusals = [fault.error for fault in found if not fault.unknown_key]
    unknown_keys = [fault.error for fault in found if fault.unknown_key]
    if "evaluation" in entry and (problem := evaluator_problem(entry["evaluation"])):
        refusals.append(errors.custom_evaluator(where(()), problem))
    notes = [*entry_notes(config), *filter(None, [stages_note(config)])]
    if from_zoo:
        notes.append("its model and data are looked at when it is run")
    if not (fast or from_zoo or refusals or (unknown_keys and not lenient)):
        with tempfile.TemporaryDirectory(prefix="quantize-zoo-") as folder:
            refusals += _faults(config, devices, where, Path(folder), scored, dataset, notes)
    return Inspection(refusals, unknown_keys, "; ".join(notes))


def refuse_fleets(matrix: MatrixConfig) -> Iterator[ConfigurationError]:
    """Yield what is in the way of a matrix's fleets: models whose network runs in the cell's process alone."""
    fleets = [(index, each) for index, each in enumerate(matrix.devices) if isinstance(each, FleetSpec)]
    if not fleets:
        return
    source = read_yaml(matrix.source)
    for model in matrix.models:
        if fed := fed_with_answers(checker_entry(model)):
            for index, fleet in fleets:
                if not fleet.models or model.name in fleet.models:
                    place = f"{source.where(('devices', index, 'fleet'))}: devices.{index}.fleet"
                    yield errors.not_for_a_fleet(place, model.name, fleet.fleet, fed)


def _faults(
    config: ModelConfig,
    devices: Iterable[str],
    where: Where,
    folder: Path,
    scored: bool,
    dataset: int,
    notes: list[str],
) -> Iterator[ConfigurationError]:
    try:
        model = open_model(config, devices, folder, notes)
    except ConfigurationError as error:
        yield error
        return
    try:
        session = open_session(find_checker(), config, model, dataset=dataset, first=1)
        notes += session.notes
        require_room(model, session.inputs(), config.optimizer.params.benchmark.batch_size)
        values = session.try_first(compile_for_accuracy(model, _AT_F32)) if scored else {}
    except QuantizeZooError as error:
        kind = error.where.removeprefix(f"{config.location}: ")
        if kind in _OWN_PLACES:
            place = _own_place(config, kind)
        else:
            place = where(_PLACES[kind]) if kind in _PLACES else error.where or place_of_model(config)
        yield errors.not_ready(place, error.what, error.remedy)
        return
    params = config.optimizer.params
    if not isinstance(session, AccuracySession) or not counts_answers(values.get(config.metric)):
        return
    size = session.dataset_size
    tuning = min(size - int(size * params.holdout), params.eval_subset_size or size)
    if note := resolution_note(params.accuracy_loss, tuning):
        notes.append(note)


def open_model(config: ModelConfig, devices: Iterable[str], folder: Path, notes: list[str] | None = None) -> ov.Model:
    """Return a model as its cells read it, of which it is known that it can be quantized for these devices.

    Args:
        config: a complete model of a matrix.
        devices: OpenVINO's names of those that it is quantized for.
        folder: the model is written into it; it must exist.
        notes: takes what the scopes of tuning name in vain.

    Raises:
        ConfigurationError: it cannot, with file and line of what is in the way.

    """
    try:
        require_model(config.model, "model")
        make_canonical(config.model, config.input_shapes, folder / "model.xml")
        model = read_model(folder / "model.xml")
        require_memory(model)
        for target in dict.fromkeys(hardware_target(device) for device in devices):
            placed = place_model(model, config, target)
            if notes is not None:
                notes += placed.scope_notes()
    except QuantizeZooError as error:
        of_quantization = error.where == "compression" and error.keys
        place = place_in_yaml(config)(_keys(config, error)) if of_quantization else _own_place(config, error.where)
        raise errors.not_ready(place, error.what, error.remedy) from error
    return model


def _keys(config: ModelConfig, error: QuantizeZooError) -> tuple[str | int, ...]:
    """Return the keys in the model's YAML of a parameter of TunableQuantization that is in the way."""
    names = [each.name for each in config.compression.algorithms]
    return ("compression", "algorithms", names.index("TunableQuantization"), "params", *error.keys)


def _own_place(config: ModelConfig, kind: str) -> str:
    """Return file and line of what is at fault in the model's YAML; of its model where nothing else is there."""
    keys = _OWN_PLACES.get(kind)
    if keys is None or (kind == "input_shapes" and not config.input_shapes):
        return place_of_model(config)
    return place_in_yaml(config)(keys)


def require_entries(configs: Iterable[ModelConfig]) -> None:
    """Refuse models none of whose checker's configuration is right to read, by looking at no model and no data.

    Of several the wrong ones' cells fail, and the others are run. Keys that the checker passes over keep none from it.

    Raises:
        ConfigurationError: with file and line.

    """
    first: ConfigurationError | None = None
    for config in configs:
        refusals = inspect_model(config, (), fast=True).refusals
        if not refusals:
            return
        first = first or refusals[0]
    if first is not None:
        raise first


def require_models(configs: Iterable[ModelConfig]) -> None:
    """Refuse models that are none; those of Open Model Zoo are fetched when they are run.

    Raises:
        ConfigurationError: with file and line of what names the model.

    """
    for config in configs:
        if config.zoo_name is None:
            require_model(config.model, f"{place_of_model(config)}: model")


def place_model(model: ov.Model, config: ModelConfig, target: str) -> Pipeline:
    """Find out where FakeQuantize goes, without data.

    Raises:
        CellError: the model is quantized already, or has nothing to quantize.

    """
    return Pipeline(
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
