"""A cell's configuration and environment, and where they differ from its baseline's."""

from __future__ import annotations

from dataclasses import dataclass, fields

from quantize_zoo.quantization import OperationOption, TensorOption
from quantize_zoo.scoring import Environment
from quantize_zoo.search import Trial
from quantize_zoo.store import Baseline, CellRecord

NOT_QUANTIZED = "not quantized"


@dataclass(frozen=True)
class OperationRow:
    """One operation of the best model, in graph order.

    ``sensitivity`` is the relative error that quantizing makes in its own output, ``before`` the baseline's choice
    where that was another one.
    """

    name: str
    type: str
    quantized: bool
    activations: str
    weights: str
    sensitivity: float | None
    before: str


@dataclass(frozen=True)
class EnvironmentRow:
    """One fact of the machine or the versions; ``before`` is the baseline's where that was another one."""

    name: str
    value: str
    before: str


def operation_rows(cell: CellRecord, best: Trial | None, baseline: Baseline | None) -> tuple[OperationRow, ...]:
    """Return the best trial's choice for each operation."""
    if best is None or cell.reference is None:
        return ()
    # JSON objects come back in any order from some databases; the reference's is the graph's.
    types = cell.reference.operation_types
    accepted = baseline.option.operations if baseline else {}
    rows = []
    for name in types:
        option = best.option.operations[name]
        activations, weights = _texts(option)
        now, before = "; ".join(_texts(option)), "; ".join(_texts(accepted[name])) if name in accepted else ""
        rows.append(
            OperationRow(
                name,
                types[name],
                option.quantize,
                activations,
                weights,
                cell.sensitivity.get(name),
                "" if before == now else before,
            )
        )
    return tuple(rows)


def environment_rows(cell: CellRecord, baseline: Baseline | None) -> tuple[EnvironmentRow, ...]:
    """Return what the cell ran on."""
    if cell.reference is None:
        return ()
    now = cell.reference.environment
    then = baseline.reference.environment if baseline else now
    return tuple(
        EnvironmentRow(
            field.name.replace("_", " "),
            _value(now, field.name),
            "" if _value(now, field.name) == _value(then, field.name) else _value(then, field.name),
        )
        for field in fields(Environment)
    )


def _value(environment: Environment, name: str) -> str:
    value = getattr(environment, name)
    return " ".join(value) if isinstance(value, tuple) else str(value) or "none"


def _texts(option: OperationOption) -> tuple[str, str]:
    if not option.quantize:
        return NOT_QUANTIZED, "" if option.compressed_weights is None else f"{option.compressed_weights}, compressed"
    return _tensor(option.activations), "" if option.weights is None else _tensor(option.weights)


def _tensor(tensor: TensorOption) -> str:
    config = tensor.config
    return f"INT{config.bits} {config.mode} {config.granularity}, {tensor.range_estimator}"
