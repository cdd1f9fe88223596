"""What a machine has, or lacks: the accuracy checker, devices, other tools."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from quantize_zoo.errors.kinds import CellError, ConfigurationError, DeviceUnavailableError


def no_accuracy_checker() -> ConfigurationError:
    """None of the three places has an accuracy checker."""
    return ConfigurationError(
        "no accuracy checker is installed",
        remedy="run: quantize-zoo doctor --install-checker (or install Open Model Zoo's accuracy_checker package)",
    )


def checker_broken(origin: str, cause: str) -> ConfigurationError:
    """An accuracy checker is there and cannot be imported."""
    return ConfigurationError(
        f"the accuracy checker from {origin} cannot be imported: {cause}",
        remedy="repair that installation, or run: quantize-zoo doctor --install-checker",
    )


def checker_install_failed(folder: Path, cause: str) -> ConfigurationError:
    """The overlay could not be installed."""
    return ConfigurationError(
        f"installing the accuracy checker into {folder} failed: {cause}",
        remedy="check the network, the disk and the rights on the folder",
    )


def checker_install_refused(folders: Iterable[Path]) -> ConfigurationError:
    """The overlay has no place."""
    return ConfigurationError(
        f"the accuracy checker cannot be installed: {' and '.join(map(str, folders))} cannot be written",
        remedy="make one of them writable, or name a folder of yours with the environment variable PYTHONUSERBASE",
    )


def device_unavailable(device: str, available: Iterable[str]) -> DeviceUnavailableError:
    """OpenVINO does not list the device."""
    return DeviceUnavailableError(
        f"OpenVINO has no device {device} here; its devices: {', '.join(available) or 'none'}",
        remedy="run on a machine with this device, or install its driver",
    )


def no_instruction_set(name: str, available: Iterable[str]) -> DeviceUnavailableError:
    """A CPU cell is to run in an instruction set that this CPU does not have."""
    return DeviceUnavailableError(
        f"this CPU has no {name}; it has: {', '.join(available) or 'none that can be chosen'}",
        remedy="run on a machine whose CPU has it, or name another isa",
    )


def fleet_incomplete(absent: Mapping[str, str], unasked: Sequence[str] = ()) -> DeviceUnavailableError:
    """Members of a fleet are not here, and the matrix does not go on without them; others were not looked for."""
    others = f"; not looked for: {', '.join(unasked)}" if unasked else ""
    return DeviceUnavailableError(
        f"members of the fleet are not here: {_absent(absent)}{others}",
        remedy="run on a machine that has them; with on_missing_device: skip it is tuned for those that are here",
    )


def fleet_absent(absent: Mapping[str, str]) -> DeviceUnavailableError:
    """No member of a fleet is here, though the matrix would go on with any."""
    return DeviceUnavailableError(
        f"no member of the fleet is here: {_absent(absent)}",
        remedy="run on a machine that has one of them at least; with on_missing_device: score_on_cpu accuracy is scored"
        " on the CPU",
    )


def _absent(members: Mapping[str, str]) -> str:
    return "; ".join(f"{name} ({why})" for name, why in members.items())


def member_failed(name: str, error: CellError) -> CellError:
    """Something failed on a member of a fleet."""
    return CellError(f"on {name}: {error.what}", where="fleet", remedy=error.remedy)


def no_nncf() -> ConfigurationError:
    """``references: [nncf]`` without NNCF."""
    return ConfigurationError(
        "references names nncf, which is not installed", remedy="run: pip install 'quantize-zoo[nncf]'"
    )


def not_playable(environment: str, cause: str) -> CellError:
    """A model that must not be run in an environment that this machine plays."""
    return CellError(f"not played: {cause}", where=environment, remedy="score it on a CPU that has no more than that")


def reference_failed(name: str, cause: str) -> CellError:
    """Another tool cannot quantize the model."""
    return CellError(
        f"{name} failed: {cause}", where="references", remedy=f"take {name} out of the matrix's references"
    )
