"""What can be quantized in a model, as names of operations and ports, which hold for every copy of the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from quantize_zoo.config import Mode, QuantizationConfig, WeightCompression

if TYPE_CHECKING:
    from quantize_zoo.graph.operations import WeightPoint

_MODES: tuple[Mode, ...] = ("symmetric", "asymmetric")


@dataclass(frozen=True)
class QuantizableOperation:
    """An operation with a quantization choice, and what the hardware allows for its tensors (weights: none or some).

    ``compressed_weights`` are the ways to store its weights while it is not quantized.
    """

    name: str
    type: str
    activations: tuple[QuantizationConfig, ...]
    weights: tuple[QuantizationConfig, ...]
    compressed_weights: tuple[WeightCompression, ...] = ()


@dataclass(frozen=True)
class ActivationPoint:
    """A tensor to quantize: output ``output`` of ``producer``.

    ``consumers`` are the (operation, port) pairs that then read the quantized tensor; ``operations`` the quantizable
    operations that they belong to or lead to, in graph order; ``configs`` what all of these allow.

    ``owner`` is the input of a recurrent sequence that alone reads it, quantized by the sequence's one scale.
    ``constant`` tensors do not depend on data: the table of an embedding, or a part that is concatenated.
    """

    producer: str
    output: int
    consumers: tuple[tuple[str, int], ...]
    operations: tuple[str, ...]
    configs: tuple[QuantizationConfig, ...]
    owner: tuple[str, int] | None = None
    constant: bool = False

    @property
    def tensor(self) -> str:
        """Name of the tensor."""
        return f"{self.producer}:{self.output}"

    @property
    def key(self) -> str:
        """Name of the point: of the tensor, and of its owner if there is one."""
        return self.tensor if self.owner is None else f"{self.tensor}>{self.owner[0]}:{self.owner[1]}"


@dataclass(frozen=True)
class UnifiedScale:
    """Tensors that share one range, since a concatenation makes one tensor of them.

    ``operations`` are the quantizable operations that they serve, in graph order; ``configs`` what all of these allow.
    """

    tensors: tuple[str, ...]
    operations: tuple[str, ...]
    configs: tuple[QuantizationConfig, ...]


@dataclass(frozen=True)
class RecurrentScale:
    """What a recurrent sequence's kernels read with one scale.

    That are its ``data`` and ``states`` (keys of activation points), and the hidden states that it computes, of which
    ``output`` is the tensor; and both its weights, inputs ``weights``, of so many ``gates``.
    """

    operation: str
    data: tuple[str, ...]
    states: tuple[str, ...]
    output: str
    weights: tuple[int, int]
    gates: int


@dataclass(frozen=True)
class Placement:
    """All quantizable operations in graph order, the tensors to quantize, and what else was seen on the way.

    ``bodies`` are the operations whose bodies are left alone: Loop, TensorIterator, and an If within a body.
    """

    operations: tuple[QuantizableOperation, ...]
    activations: tuple[ActivationPoint, ...]
    weights: tuple[WeightPoint, ...]
    unified: tuple[UnifiedScale, ...]
    recurrent: tuple[RecurrentScale, ...]
    first_convolutions: frozenset[str]
    bodies: tuple[str, ...]


def shared_configs(allowed: Sequence[Sequence[QuantizationConfig]]) -> tuple[QuantizationConfig, ...]:
    """Return what all operations that share a FakeQuantize allow: same mode and granularity, the smaller width.

    Where nothing is common, per tensor takes the place of per channel, and then asymmetric that of symmetric.
    """
    exact = tuple(config for config in allowed[0] if all(config in each for each in allowed))
    if exact:
        return exact
    kinds = dict.fromkeys((config.mode, config.granularity) for config in allowed[0])
    narrowed = [
        QuantizationConfig(bits=min(max(each) for each in widths), mode=mode, granularity=granularity)
        for mode, granularity in kinds
        if all(widths := [[c.bits for c in each if (c.mode, c.granularity) == (mode, granularity)] for each in allowed])
    ]
    if narrowed:
        return tuple(narrowed)
    bits = min(max(config.bits for config in each) for each in allowed)
    modes: list[Mode] = [mode for mode in _MODES if all(any(c.mode == mode for c in each) for each in allowed)]
    return tuple(QuantizationConfig(bits=bits, mode=mode, granularity="pertensor") for mode in modes or _MODES[-1:])
