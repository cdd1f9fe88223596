"""In which precision a device really executes what was quantized, read from the runtime graph."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from quantize_zoo.config import WeightCompression
from quantize_zoo.scoring.runtime_graph import RuntimeOperation, runtime_operations

_SMALL = frozenset({"i8", "u8", "i4", "u4", "nf4"})
_CONVERTING = frozenset({"FakeQuantize", "Convert", "Reorder", "Quantize"})
_OF_ELEMENTS = frozenset({"Subgraph", "Eltwise"})  # kernels that the plugin compiles for operations on elements
_ADDED = re.compile(r"/(fq_input_\d+|fq_weights_\d+|Dequantization\w+)$")  # names of what only converts
_DEQUANTIZED = "/DequantizationMultiply"  # what OpenVINO's low precision transformations call a MatMul with its scale


@dataclass(frozen=True)
class ExecutedOperation:
    """A quantized operation, the precision that the device executes it in, and its kernel.

    Both are empty where the device's graph does not show the operation under a name of its own.
    """

    name: str
    precision: str
    kernel: str

    @property
    def in_floating_point(self) -> bool:
        """Tell whether quantizing it cannot pay: the device tells of no kernel for it that computes with integers.

        Of one whose weights alone are compressed: the device has unpacked them when it compiled the model. What it
        computes in one kernel with others has the precision of that kernel's outside, which is all that it tells.
        """
        return bool(self.precision) and self.precision not in _SMALL


@dataclass(frozen=True)
class Conversion:
    """An executed operation that only changes the precision or the layout of a tensor."""

    name: str
    kind: str
    before: str
    after: str


@dataclass(frozen=True)
class ExecutedCompression:
    """What the device makes of operations whose weights are compressed in one way.

    It computes with the weights of ``read`` operations as they are stored; those of ``unpacked`` ones are in floating
    point again once the model is compiled. ``refused`` tells why it runs none of them.
    """

    way: WeightCompression
    read: int
    unpacked: tuple[str, ...]
    refused: str = ""


@dataclass(frozen=True)
class Executed:
    """What the device makes of a quantized model: its quantized operations, and conversions that FP32 does not have.

    ``compressed`` is what it makes of compressed weights, each way by itself, where these are offered.
    """

    operations: tuple[ExecutedOperation, ...]
    conversions: tuple[Conversion, ...]
    compressed: tuple[ExecutedCompression, ...] = ()

    @property
    def in_floating_point(self) -> frozenset[str]:
        """The operations whose quantization the device does not use."""
        return frozenset(each.name for each in self.operations if each.in_floating_point)


def runtime_names(compiled: Any) -> frozenset[str]:
    """Return the names of what a compiled model executes."""
    return frozenset(each.name for each in runtime_operations(compiled))


def read_executed(compiled: Any, quantized: Mapping[str, str], before: Collection[str]) -> Executed:
    """Return what a device executes.

    Args:
        compiled: the quantized model, compiled.
        quantized: the names of its quantized operations, and of the addition of each one's bias, which the plugin may
            call them by; empty where it has none.
        before: the names of what the FP32 model executes; see ``runtime_names``.

    """
    conversions = tuple(
        Conversion(each.name, each.kind, each.precision, each.output)
        for each in runtime_operations(compiled)
        if _converts(each) and each.name not in before
    )
    return Executed(executed_operations(compiled, quantized), conversions)


def executed_operations(compiled: Any, names: Mapping[str, str]) -> tuple[ExecutedOperation, ...]:
    """Return what a device executes of some operations; ``names`` as in ``read_executed``."""
    executed = list(runtime_operations(compiled))
    known = {name: each for each in reversed(executed) for name in (*each.originals, each.name)}
    return tuple(_executed(name, addition, known) for name, addition in names.items())


def _converts(operation: RuntimeOperation) -> bool:
    """Tell whether an operation is a conversion, also where the plugin has compiled one to a kernel of its own."""
    made_of = operation.originals
    is_added = bool(made_of) and all(_ADDED.search(name) for name in made_of)
    return operation.kind in _CONVERTING or (operation.kind in _OF_ELEMENTS and is_added)


def _executed(name: str, addition: str, known: Mapping[str, RuntimeOperation]) -> ExecutedOperation:
    shown = [known[each] for each in (f"{name}{_DEQUANTIZED}", name, addition) if each in known]
    # Its scale may be fused into the kernel of another operation, on elements, while it has one of its own.
    found = next((each for each in shown if each.kind not in _OF_ELEMENTS), next(iter(shown), None))
    return ExecutedOperation(name, "", "") if found is None else ExecutedOperation(name, found.precision, found.kernel)
