"""A matrix's YAML: models x devices. A single model's YAML is a matrix of one model on its ``target_device``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from quantize_zoo import errors
from quantize_zoo.config.devices import require_device_name
from quantize_zoo.config.file_kinds import MATRIX, MODEL, kind_of_values, refuse_kind
from quantize_zoo.config.fleet import FleetSpec, Target, devices_of
from quantize_zoo.config.gate import WAIVED_CHECKS, GateConfig, Runtime, Waiver
from quantize_zoo.config.keys import first_twins, is_on, planned_names
from quantize_zoo.config.model import DeviceSpec, ModelConfig, load_model_config, model_from_source
from quantize_zoo.config.notify import Notify
from quantize_zoo.config.numbers import MOST_DEVICES, MOST_MODELS, Flag, Megabytes, Minutes
from quantize_zoo.config.retention import Retention
from quantize_zoo.config.strict import Strict
from quantize_zoo.config.yaml_source import ConfigSource, read_yaml, validate
from quantize_zoo.text.paths import is_file, is_program

OnMissingDevice = Literal["skip", "score_on_cpu", "fail"]
OnMixedCpus = Literal["refuse", "split"]
ReferenceTool = Literal["nncf", "nncf-weights"]


class MatrixFile(Strict):
    """A matrix as it is written: models are paths relative to the file."""

    models: tuple[Path, ...] = Field(min_length=1, max_length=MOST_MODELS)
    devices: tuple[Target, ...] = Field(min_length=1, max_length=MOST_DEVICES)
    on_missing_device: OnMissingDevice = "skip"
    on_mixed_cpus: OnMixedCpus = Field(
        default="refuse",
        description="a cluster with several CPU models: refuse it, or a cell for each model",
    )
    require_targets: Flag = False
    portability: Flag = Field(
        default=True, description="score the best model of a CPU's cell in other precisions and instruction sets, too"
    )
    references: tuple[ReferenceTool, ...] = ()
    input_memory_mb: Megabytes = 2048
    hang_minutes: Minutes = Field(
        default=30.0, description="a step of a cell that takes longer, and much longer than others, is ended"
    )
    max_minutes_a_night: Minutes | None = Field(
        default=None, description="that all cells together may take, who gains the most getting the most"
    )
    gate: GateConfig = GateConfig()
    waivers: tuple[Waiver, ...] = ()
    runtimes: tuple[Runtime, ...] = ()
    notify: Notify | None = None
    retention: Retention | None = None


class MatrixConfig(Strict):
    """A matrix whose models are loaded; ``input_memory_mb`` is what a cell's preprocessed inputs may take of memory.

    ``whole`` tells whether it is all that the file names.
    """

    source: Path
    models: tuple[ModelConfig, ...]
    devices: tuple[Target, ...]
    on_missing_device: OnMissingDevice
    require_targets: bool
    on_mixed_cpus: OnMixedCpus = "refuse"
    portability: bool = True
    references: tuple[ReferenceTool, ...] = ()
    input_memory_mb: int = 2048
    hang_minutes: float = 30.0
    max_minutes_a_night: float | None = None
    gate: GateConfig = GateConfig()
    waivers: tuple[Waiver, ...] = ()
    runtimes: tuple[Runtime, ...] = ()
    notify: Notify | None = None
    retention: Retention | None = None
    whole: bool = True

    def select(self, models: list[str], devices: list[str]) -> MatrixConfig:
        """Return the part that the command line asks for; an empty list asks for all.

        A device is one of the matrix's by its label, with or without a CPU model behind it, or by what its label is
        without plugin properties; else it is one that the matrix does not have.

        Raises:
            ConfigurationError: the matrix has no such model, or OpenVINO no such device.

        """
        known = {model.name: model for model in self.models}
        for name in models:
            if name not in known:
                raise errors.unknown_model_name(name, known)
        chosen_models = tuple(known[name] for name in models) or self.models
        chosen = [device for name in devices for device in self._devices_of(name)]
        chosen_devices = tuple({device.label: device for device in chosen}.values()) or self.devices
        return self.model_copy(
            update={
                "models": chosen_models,
                "devices": chosen_devices,
                "whole": self.whole and not models and not devices,
            }
        )

    def _devices_of(self, name: str) -> list[DeviceSpec | FleetSpec]:
        by_label = [device for device in self.devices if is_on(name, device.label)]
        plain = {device.model_copy(update={"device_config": {}}).label: device for device in self.devices}
        if by_label or name in plain:
            return by_label or [plain[name]]
        require_device_name(name, "--devices", (each.label for each in self.devices))
        return [DeviceSpec(device=name)]

    def with_definitions(self, definitions: Path) -> MatrixConfig:
        """Return the matrix with this file of the accuracy checker's definitions for every model."""
        models = tuple(model.model_copy(update={"definitions": definitions}) for model in self.models)
        return self.model_copy(update={"models": models})

    def with_optimizer(self, changes: dict[str, Any]) -> MatrixConfig:
        """Return the matrix with these parameters of Tpe changed in every model."""
        return self.model_copy(update={"models": tuple(model.with_optimizer(changes) for model in self.models)})


def load_matrix(path: Path) -> MatrixConfig:
    """Read a matrix, or a single model's YAML, with all that it names.

    Raises:
        ConfigurationError: anything that is wrong in one of the files.

    """
    source = read_yaml(path)
    kind = kind_of_values(source.data)
    if kind not in (None, MATRIX, MODEL):
        refuse_kind(kind, "matrix or model's YAML", path, source.where(()))
    if kind is MODEL:
        model = model_from_source(source)
        device = DeviceSpec(device=model.compression.target_device)
        return MatrixConfig(
            source=path.absolute(), models=(model,), devices=(device,), on_missing_device="skip", require_targets=False
        )
    file = validate(MatrixFile, source)
    folder = path.resolve().parent
    models: list[ModelConfig] = []
    for index, model_path in enumerate(file.models):
        where = source.where(("models", index))
        model = load_model_config(folder / model_path, where)
        if any(model.name == other.name for other in models):
            raise errors.duplicate_model_name(where, model.name)
        models.append(model)
    known = [model.name for model in models]
    fleets = {target.fleet for target in file.devices if isinstance(target, FleetSpec)}
    for index, target in enumerate(file.devices):
        for number, each in enumerate(devices_of(target)):
            place = ("devices", index, *(("members", number) if isinstance(target, FleetSpec) else ()), "device")
            where = f"{source.where(place)}: {'.'.join(map(str, place))}"
            if each.device in fleets:
                raise errors.fleet_as_device(where, each.device)
            require_device_name(each.device, where)
        for name in target.models:
            if name not in known:
                raise errors.unknown_value(
                    source.where(("devices", index, "models")), f"devices.{index}.models", name, known
                )
    _require_once(file, source)
    _require_names_of_their_own(file.devices, source, known)
    _require_known_waivers(file, source, known)
    return MatrixConfig(
        source=path.absolute(),
        models=tuple(models),
        devices=file.devices,
        on_missing_device=file.on_missing_device,
        on_mixed_cpus=file.on_mixed_cpus,
        require_targets=file.require_targets,
        portability=file.portability,
        references=file.references,
        input_memory_mb=file.input_memory_mb,
        hang_minutes=file.hang_minutes,
        max_minutes_a_night=file.max_minutes_a_night,
        gate=file.gate,
        waivers=file.waivers,
        runtimes=tuple(_beside(folder, each, source, index) for index, each in enumerate(file.runtimes)),
        notify=file.notify,
        retention=file.retention,
    )


def _require_names_of_their_own(
    devices: tuple[DeviceSpec | FleetSpec, ...], source: ConfigSource, models: list[str]
) -> None:
    """Refuse two devices that would make one cell: they would write into one search, one baseline and one page."""
    for model in models:
        on = [(index, device) for index, device in enumerate(devices) if not device.models or model in device.models]
        twins = first_twins(device.key(model) for _, device in on)
        if twins is not None:
            first, second = (on[position][0] for position in twins)
            raise errors.same_cell(
                source.where(("devices", first)), source.where(("devices", second)), devices[second].key(model).label
            )


def _require_once(file: MatrixFile, source: ConfigSource) -> None:
    """Refuse what is named twice: it would be done twice, or the one's results would be taken for the other's."""
    named: dict[tuple[str | int, ...], Sequence[str]] = {
        ("references",): file.references,
        ("runtimes",): [each.name for each in file.runtimes],
        **{("devices", index, "models"): target.models for index, target in enumerate(file.devices)},
    }
    for keys, names in named.items():
        for number, name in enumerate(names):
            if name in names[:number]:
                raise errors.named_twice(source.where((*keys, number)), ".".join(map(str, (*keys, number))), name)


def _require_known_waivers(file: MatrixFile, source: ConfigSource, models: list[str]) -> None:
    """Refuse a waiver that never holds and nobody would know: of no cell, of no check, or a second one."""
    cells = {
        device.key(model).label
        for device in file.devices
        for model in models
        if not device.models or model in device.models
    }
    waived: set[tuple[str, str]] = set()
    for index, waiver in enumerate(file.waivers):
        where, key = source.where(("waivers", index)), f"waivers.{index}"
        if cells.isdisjoint(planned_names(waiver.cell)):
            raise errors.unknown_value(where, f"{key}.cell", waiver.cell, cells)
        if waiver.check not in WAIVED_CHECKS:
            raise errors.unknown_value(where, f"{key}.check", waiver.check, WAIVED_CHECKS)
        if (waiver.cell, waiver.check) in waived:
            raise errors.named_twice(where, key, f"{waiver.check} of {waiver.cell}")
        waived.add((waiver.cell, waiver.check))


def _beside(folder: Path, runtime: Runtime, source: ConfigSource, index: int) -> Runtime:
    """Resolve an interpreter's path; it is no link to be followed, since a virtual environment is known by its link."""
    python = folder / runtime.python
    where = f"{source.where(('runtimes', index, 'python'))}: runtimes.{index}.python"
    if not is_file(python):
        raise errors.file_missing(python, where)
    if not is_program(python):
        raise errors.no_program(python, where)
    return runtime.model_copy(update={"python": python})
