"""Which devices OpenVINO has here."""

from __future__ import annotations

import openvino as ov

from quantize_zoo import errors

_VIRTUAL = frozenset({"AUTO", "HETERO", "MULTI", "BATCH"})


def available_devices() -> list[str]:
    """Return OpenVINO's own list of devices."""
    return list(ov.Core().available_devices)


def require_device(device: str) -> None:
    """Check that a device string such as ``GPU``, ``GPU.1`` or ``AUTO:CPU`` can be used.

    Raises:
        DeviceUnavailableError: it, or one that it stands on, is not in OpenVINO's list.

    """
    available = available_devices()
    virtual, _, listed = device.partition(":")
    needed = listed.split(",") if virtual in _VIRTUAL and listed else [device] if virtual not in _VIRTUAL else []
    for name in needed:
        if name not in available and not any(other.startswith(f"{name}.") for other in available):
            raise errors.device_unavailable(name, available)


def hardware_target(device: str) -> str:
    """Return the name of a device's hardware configuration: ``GPU`` for ``GPU.1``, ``CPU`` for ``AUTO:CPU``."""
    virtual, _, listed = device.partition(":")
    first = listed.split(",")[0] if virtual in _VIRTUAL and listed else virtual
    return "CPU" if first in _VIRTUAL else first.split(".")[0]
