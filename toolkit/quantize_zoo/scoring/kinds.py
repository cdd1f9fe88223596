"""Of which kind a machine is: what members of a fleet it is itself, without being held to less than it has."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from quantize_zoo.config import DeviceSpec, InstructionSet
from quantize_zoo.config.devices import devices_below
from quantize_zoo.graph.runtime import core
from quantize_zoo.scoring.devices import available_devices, available_instruction_sets
from quantize_zoo.scoring.environment import ISA_VARIABLE, describe_environment

# The sets of which one must be there for a CPU to run in a precision by itself.
SETS_OF: dict[str, tuple[InstructionSet, ...]] = {
    "bf16": ("AVX512_CORE_BF16", "AVX512_CORE_AMX"),
    "f16": ("AVX512_CORE_FP16",),
}


@dataclass(frozen=True)
class MachineKind:
    """A machine's CPU, its instruction sets with the highest last, and OpenVINO's devices there with their full names.

    A machine on which oneDNN is ``limited`` is of no kind but that of its devices.
    """

    cpu: str = ""
    instruction_sets: tuple[InstructionSet, ...] = ()
    devices: Mapping[str, str] = field(default_factory=dict)
    limited: bool = False

    def is_of(self, member: DeviceSpec) -> bool:
        """Tell whether the machine is what a member asks for, by itself.

        Of an instruction set that is a CPU with this one as its highest; of a precision one that has it; of a device
        one where OpenVINO has that, and all that it stands on.
        """
        has = all(
            name in self.devices or any(other.startswith(f"{name}.") for other in self.devices)
            for name in devices_below(member.device)
        )
        if not has or member.device != "CPU":
            return has
        if member.isa is not None:
            return not self.limited and self.instruction_sets[-1:] == (member.isa,)
        needed = SETS_OF.get(member.inference_precision or "")
        return needed is None or (not self.limited and any(each in self.instruction_sets for each in needed))

    def name_for(self, member: DeviceSpec) -> str:
        """Return what a member runs on there, as a user would call it: the CPU, or a device beside it."""
        devices = [
            full
            for below in devices_below(member.device)
            for name, full in self.devices.items()
            if below != "CPU" and (name == below or name.startswith(f"{below}."))
        ]
        return ", ".join([*dict.fromkeys(devices), self.cpu])


def describe_kind(limit: str | None = None) -> MachineKind:
    """Return of which kind this machine is; ``limit`` is the set that oneDNN is limited to, by default this process's.

    Empty is without a limit.
    """
    devices = {name: _full_name(name) for name in available_devices()}
    sets = tuple(available_instruction_sets())
    limit = os.environ.get(ISA_VARIABLE, "") if limit is None else limit
    return MachineKind(describe_environment().cpu, sets, devices, limited=bool(limit) and (limit,) != sets[-1:])


def _full_name(device: str) -> str:
    try:
        return str(core().get_property(device, "FULL_DEVICE_NAME"))
    except RuntimeError:  # a driver that fails; whatever runs there will tell
        return device
