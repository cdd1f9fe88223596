"""Which devices OpenVINO has here."""

from __future__ import annotations

import os

from quantize_zoo import errors
from quantize_zoo.config import DeviceSpec, InstructionSet
from quantize_zoo.config.devices import devices_below
from quantize_zoo.errors import DeviceUnavailableError
from quantize_zoo.graph.runtime import core
from quantize_zoo.scoring.environment import ISA_VARIABLE, SETS_OF_F32, cpu_flags

# The processor's flag without which oneDNN would run in less than the named set.
_FLAGS: dict[InstructionSet, str] = {
    "SSE41": "sse4_1",
    "AVX": "avx",
    "AVX2": "avx2",
    "AVX2_VNNI": "avx_vnni",
    "AVX512_CORE": "avx512bw",
    "AVX512_CORE_VNNI": "avx512_vnni",
    "AVX512_CORE_BF16": "avx512_bf16",
    "AVX512_CORE_FP16": "avx512_fp16",
    "AVX512_CORE_AMX": "amx_tile",
}


def available_devices() -> list[str]:
    """Return OpenVINO's own list of devices."""
    return list(core().available_devices)


def available_instruction_sets() -> list[InstructionSet]:
    """Return the sets that a CPU cell can be limited to here."""
    flags = cpu_flags()
    return [name for name, flag in _FLAGS.items() if flag in flags]


def require_device(spec: DeviceSpec) -> None:
    """Check that a device such as ``GPU``, ``GPU.1`` or ``AUTO:CPU`` can be used, and has the instruction set.

    Raises:
        DeviceUnavailableError: it, or one that it stands on, is not in OpenVINO's list; or the CPU lacks the set.

    """
    if spec.isa is not None and spec.isa not in available_instruction_sets():
        raise errors.no_instruction_set(spec.isa, available_instruction_sets())
    available = available_devices()
    for name in devices_below(spec.device):
        if name not in available and not any(other.startswith(f"{name}.") for other in available):
            raise errors.device_unavailable(name, available)


def is_available(spec: DeviceSpec) -> bool:
    """Tell whether a device can be used here; see ``require_device``."""
    try:
        require_device(spec)
    except DeviceUnavailableError:
        return False
    return True


def integer_weights_problem(spec: DeviceSpec, held_to: str | None = None) -> str:
    """Tell why compressed weights that are integers must not be run; empty where they can be.

    ``held_to`` is the instruction set that oneDNN is limited to in the process that plays the device, empty for none;
    this process's where it is not given.

    Held to a set below AVX-512 on a CPU that has it, OpenVINO packs them for kernels of AVX-512, and oneDNN takes
    others: it refuses them, or reads beyond their end and ends the process. NF4 is not packed.
    """
    held_to = os.environ.get(ISA_VARIABLE, "") if held_to is None else held_to
    if "CPU" not in devices_below(spec.device) or held_to not in SETS_OF_F32 or "avx512f" not in cpu_flags():
        return ""
    return (
        f"held to {held_to} on a CPU with AVX-512, OpenVINO packs integers for kernels that oneDNN then does not take"
    )


def hardware_target(device: str) -> str:
    """Return the name of a device's hardware configuration: ``GPU`` for ``GPU.1``, ``CPU`` for ``AUTO:CPU``."""
    return next(iter(devices_below(device)), "CPU").partition(".")[0]
