"""Does a device take the plugin properties that a matrix asks of it? Its plugin is asked, where the device is here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import openvino as ov

from quantize_zoo import errors
from quantize_zoo.config import DeviceSpec, FleetSpec, MatrixConfig, devices_of
from quantize_zoo.config.devices import devices_below
from quantize_zoo.config.yaml_source import ConfigSource, read_yaml
from quantize_zoo.graph.opset import opset13 as ops
from quantize_zoo.graph.runtime import core
from quantize_zoo.scoring.devices import available_devices, is_available

_PROPERTIES = "device_config"
_WRITES = "CACHE_DIR"  # a folder that is made as soon as something is compiled with it


def require_properties(matrix: MatrixConfig) -> None:
    """Refuse a plugin property of a matrix that its device does not have, or a value that it does not take.

    Nothing is said of devices that are not here.

    Raises:
        ConfigurationError: with file and line of the property.

    """
    asked = [each for each in _asked(matrix.devices) if each[1].device_config]
    if not asked:
        return
    source = read_yaml(matrix.source)
    for place, spec in asked:
        if _is_here(spec):
            _require(spec, source, (*place, _PROPERTIES))


def _asked(targets: Iterable[DeviceSpec | FleetSpec]) -> Iterator[tuple[tuple[str | int, ...], DeviceSpec]]:
    """Yield each device of a matrix, with the keys where it stands in the file."""
    for index, target in enumerate(targets):
        for number, spec in enumerate(devices_of(target)):
            members = ("members", number) if isinstance(target, FleetSpec) else ()
            yield ("devices", index, *members), spec


def _is_here(spec: DeviceSpec) -> bool:
    return is_available(DeviceSpec(device=spec.device)) and not _refusal(spec.device, {})


def _require(spec: DeviceSpec, source: ConfigSource, at: tuple[str | int, ...]) -> None:
    below = _handed_on(spec.device)
    settable = {name for plugin in (spec.device.partition(":")[0], *below) for name in _settable(plugin)}
    tried = {name: value for name, value in spec.device_config.items() if name != _WRITES}
    for name, value in tried.items():
        where, key = source.where((*at, name)), ".".join(map(str, (*at, name)))
        cause = _refusal(spec.device, {name: value})
        ignored = bool(below) and all(_refusal(each, {name: value}) for each in below)
        if name not in settable and (cause or ignored):
            raise errors.unknown_property(where, key, spec.device, name, settable)
        if cause:
            raise errors.property_refused(where, key, spec.device, value, cause)
    if cause := _refusal(spec.device, tried):
        raise errors.property_refused(source.where(at), ".".join(map(str, at)), spec.device, tried, cause)


def _handed_on(device: str) -> Sequence[str]:
    """Return the devices that get what a virtual device does not know itself; it refuses no name that they refuse."""
    below = devices_below(device)
    return () if below == (device,) else below or available_devices()


def _settable(plugin: str) -> list[str]:
    """Return the properties of a plugin that can be set, by its own list."""
    try:
        found: Mapping[str, str] = core().get_property(plugin, "SUPPORTED_PROPERTIES")
    except RuntimeError:
        return []
    return [name for name, access in found.items() if access != "RO"]


def _refusal(device: str, properties: Mapping[str, Any]) -> str:
    """Return what a device says against compiling with these properties; empty if it does so."""
    port = ops.parameter([1, 8], np.float32)
    model = ov.Model([ops.result(ops.relu(port))], [port], "property")
    try:
        core().compile_model(model, device, dict(properties))
    except (RuntimeError, TypeError) as error:
        return errors.message_of(error)
    return ""
