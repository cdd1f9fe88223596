"""Environments that this machine can play for others: a CPU's precisions, and instruction sets below its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import get_args

from quantize_zoo.config import DeviceSpec, InstructionSet
from quantize_zoo.scoring.devices import available_instruction_sets
from quantize_zoo.scoring.kinds import SETS_OF

_RANKS: tuple[InstructionSet, ...] = get_args(InstructionSet)  # the lowest first
_EMULATED = "bf16"
_EMULATES: InstructionSet = "AVX512_CORE"  # a CPU that has it and does not have BF16
# Those first in which INT8 computes most differently from what a new CPU does: without VNNI, sums of products saturate.
_ORDER: tuple[InstructionSet, ...] = (
    "AVX2", "AVX512_CORE_VNNI", "AVX512_CORE", "AVX2_VNNI", "AVX", "SSE41", "AVX512_CORE_BF16", "AVX512_CORE_FP16",
    "AVX512_CORE_AMX",
)  # fmt: skip


def playable_environments(
    own: DeviceSpec,
    precision: str,
    limit: str,
    available: Sequence[InstructionSet] | None = None,
    members: Iterable[tuple[DeviceSpec, str]] = (),
) -> tuple[DeviceSpec, ...]:
    """Return the environments other than a CPU's own that this machine can play, the most telling first.

    Args:
        own: the CPU as it was asked for.
        precision: what FP32 runs in there.
        limit: the instruction set that oneDNN is limited to on this machine, whatever was asked for; empty for none.
        available: the machine's instruction sets, by default what its processor says.
        members: of a fleet, each with what FP32 runs in there: what they are is no other environment either.

    """
    sets = _within(limit, available_instruction_sets() if available is None else available)
    if own.device != "CPU" or not sets:
        return ()
    best = max(sets, key=_RANKS.index)
    plain = own.model_copy(update={"isa": None, "device_config": _without_precision(own), "models": ()})
    found = [plain.model_copy(update={"inference_precision": "f32"})]
    if _EMULATES in sets:
        found.append(plain.model_copy(update={"inference_precision": _EMULATED}))
    below = (each for each in _ORDER if each in sets and each != best)
    found += [plain.model_copy(update={"isa": each, "inference_precision": "f32"}) for each in below]
    here = {(each.isa or best, there) for each, there in ((own, precision), *members) if each.device == "CPU"}
    return tuple(each for each in found if (each.isa or best, each.inference_precision) not in here)


def is_emulated(
    device: DeviceSpec, precision: str, limit: str, available: Sequence[InstructionSet] | None = None
) -> bool:
    """Tell whether a CPU has no instructions for what it runs in: answers are the same, and times are not.

    Args:
        device: as it was asked for.
        precision: what FP32 runs in there.
        limit: the instruction set that oneDNN is limited to there; empty for none.
        available: the machine's instruction sets, by default what its processor says.

    """
    sets = _within(limit, available_instruction_sets() if available is None else available)
    native = any(each in sets for each in SETS_OF[_EMULATED])
    return device.device == "CPU" and precision == _EMULATED and _EMULATES in sets and not native


def precision_note(device: DeviceSpec, precision: str) -> str:
    """Tell where a device runs in another floating point precision than it was asked for; empty where it does not."""
    asked = device.inference_precision
    if asked is None or precision in (asked, "unknown"):
        return ""
    return f"{device.label} runs in {precision}: its machine has no {asked}"


def emulation_note(device: DeviceSpec, precision: str, limit: str) -> str:
    """Tell where a device emulates what it runs in; empty where it does not."""
    if not is_emulated(device, precision, device.isa or limit):
        return ""
    return (
        f"{device.label} emulates {precision}, which its CPU has not: accuracy is that of {precision}, latency is not"
    )


def _within(limit: str, sets: Sequence[InstructionSet]) -> list[InstructionSet]:
    ranks: dict[str, int] = {name: rank for rank, name in enumerate(_RANKS)}
    highest = ranks.get(limit, len(_RANKS))
    return [each for each in sets if ranks[each] <= highest]


def _without_precision(own: DeviceSpec) -> dict[str, object]:
    return {name: value for name, value in own.device_config.items() if name != "INFERENCE_PRECISION_HINT"}
