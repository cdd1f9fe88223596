"""Stores of many nights and cells: one night is stored as runs store theirs, the others are copies of its rows."""

from __future__ import annotations

import random
from datetime import datetime, timedelta, timezone

import sqlalchemy as sa
from pydantic import TypeAdapter

from builders import estimate, reference, trial
from quantize_zoo.config import OptimizerParams, QuantizationConfig
from quantize_zoo.gate import Check, GateResult
from quantize_zoo.quantization import ModelOption, OperationOption, TensorOption, preset_estimator
from quantize_zoo.scoring import LayerTime, PairedLatency
from quantize_zoo.search import Measurement
from quantize_zoo.store import Figures, Final, Holdout, RunPlan, Store

SHARES = (0.01, *(each / 20 for each in range(1, 20)), 0.99)
FIRST = datetime(2024, 1, 1, 1, tzinfo=timezone.utc)
_GATE = TypeAdapter(GateResult)
_CONFIGS = tuple(
    QuantizationConfig(bits=8, mode=mode, granularity=granularity)
    for mode in ("symmetric", "asymmetric")
    for granularity in ("pertensor", "perchannel")
)
_CHOICES = tuple(
    OperationOption(
        quantize,
        TensorOption(activations, preset_estimator(activations, preset, weights=False)),
        TensorOption(weights, preset_estimator(weights, preset, weights=True)),
    )
    for quantize in (True, True, False)
    for activations in _CONFIGS
    for weights in _CONFIGS
    for preset in ("default", "quantile")
)


def operation_names(count):
    return [f"/backbone/stage.{index // 9}/block.{index % 9}/Conv/WithoutBiases" for index in range(count)]


def search_option(operations, rng, changed=1.0):
    """An option as a search makes it: of a share of the operations any of the choices, of the others the first."""
    return ModelOption(
        {name: rng.choice(_CHOICES) if rng.random() < changed else _CHOICES[0] for name in operation_names(operations)}
    )


def measured_latency(ratio, rng, compilations):
    times = [100 * rng.uniform(0.98, 1.02) for _ in range(compilations)]
    return PairedLatency(
        estimate(100.0 * rng.uniform(0.99, 1.01), 1.0, "us"),
        estimate(100.0 / ratio, 1.0, "us"),
        estimate(ratio),
        tuple((each, each / ratio) for each in times),
        tuple((share, 90 + 20 * share * rng.uniform(0.9, 1.1), 60 + 10 * share) for share in SHARES)
        if compilations > 4
        else (),
    )


def search_trial(number, operations, rng, changed=1.0):
    """A trial with all that a search stores of one."""
    ratio = rng.uniform(1.2, 1.9)
    found = trial(number, rng.uniform(0, 0.02), ratio, search_option(operations, rng, changed if number else 0.0))
    assert isinstance(found.measurement, Measurement)
    changes = {
        "measurement": type(found.measurement)(
            found.measurement.accuracy,
            {"accuracy@top1": rng.random(), "accuracy@top5": rng.random()},
            measured_latency(ratio, rng, 4),
            found.measurement.execution,
        ),
        "candidate": rng.randbytes(12).hex(),
        "structure": rng.randbytes(12).hex(),
        "seconds": type(found.seconds)(*(rng.random() for _ in range(5))),
    }
    return type(found)(**{**vars(found), **changes})


def final_of(best, operations, rng):
    layers = tuple(
        LayerTime(
            name, round(rng.uniform(1, 50), 2), round(rng.uniform(1, 30), 2), "brgconv_avx512_bf16", "brgconv_avx512_I8"
        )
        for name in operation_names(operations)
    )
    figures = Figures(1_000_000, rng.random(), 100_000_000, 0.1, 0.2)
    return Final(
        best.number, measured_latency(best.score.latency_ratio, rng, 8), "models/net.xml",
        Holdout(estimate(0.9, 0.01, ""), estimate(0.89, 0.01, ""), estimate(rng.uniform(0, 0.02), 0.01, "")),
        figures=figures, fp32_figures=figures, layers=layers, answers="models/net.npz",
    )  # fmt: skip


def gate_of(rng):
    checks = tuple(
        Check(
            "quantization", quantity, "the baseline's configuration", "pass",
            f"{quantity} is as before: {rng.random()} of {rng.random()}", estimate(rng.uniform(0.99, 1.01)),
            0.005, 0.0008, rng.random(),
        )
        for quantity in ("accuracy", "latency", "size", "accuracy", "latency", "size")
    )  # fmt: skip
    return GateResult(1, FIRST.isoformat(), checks)


def store_night(store, run_id, names, *, trials, operations, seed=0, method="cold_start"):
    """Store a night as a run does, cell by cell; return the ids of its cells."""
    rng = random.Random(seed)
    store.start_run(
        run_id, matrix="m.yml", command="quantize-zoo run", seed=1, require_targets=False, on_missing_device="skip",
        plan=RunPlan(tuple(f"{name}-CPU" for name in names), whole=True),
    )  # fmt: skip
    types = dict.fromkeys(operation_names(operations), "Convolution")
    ids = []
    for name in names:
        params = OptimizerParams(max_trials=max(1, trials))
        cell = store.start_cell(run_id, model=name, device="CPU", method=method, params=params)
        store.set_reference(cell, reference(operation_types=types, model_hash=rng.randbytes(32).hex()))
        store.set_calibration(cell, rng.random(), {each: rng.random() for each in types})
        found = [search_trial(number, operations, rng) for number in range(trials)]
        for each in found:
            store.add_trial(cell, each)
        store.set_final(cell, final_of(found[-1], operations, rng))
        gate = gate_of(rng)
        store.set_gate(cell, _GATE.dump_python(gate, mode="json"), gate.status)
        ids.append(cell)
    store.finish_run(run_id, "finished")
    return ids


def make_store(url, *, nights, cells, trials=3, operations=30):
    """Make a store of so many nights; the id of the last one is ``night`` and its number."""
    store = Store(url)
    store_night(
        store, "night00000", [f"model-{index:03}" for index in range(cells)], trials=trials, operations=operations
    )
    store.close()
    engine = sa.create_engine(url)
    tables = sa.MetaData()
    tables.reflect(engine)
    with engine.begin() as connection:
        connection.execute(tables.tables["runs"].update().values(started_at=FIRST, finished_at=FIRST))
        for number in range(1, nights):
            _copy_night(connection, tables.tables, number, cells, cells * trials)
    engine.dispose()
    return f"night{nights - 1:05}"


def _copy_night(connection, tables, number, cells, trials):
    time = FIRST + timedelta(days=number)
    _copy(connection, tables["runs"], tables["runs"].c.id == "night00000",
          id=sa.literal(f"night{number:05}"), started_at=sa.literal(time), finished_at=sa.literal(time))  # fmt: skip
    ids, rows = tables["cells"].c.id, tables["trials"].c
    cells_of = tables["cells"].c
    _copy(connection, tables["cells"], ids <= cells,
          id=ids + number * cells, run_id=sa.literal(f"night{number:05}"), method=sa.literal("fine_tune"),
          speedup=cells_of.speedup * (1 + (7919 * (ids + number * cells) % 101 - 50) / 5000.0))  # fmt: skip
    _copy(connection, tables["trials"], rows.id <= trials,
          id=rows.id + number * trials, cell_id=rows.cell_id + number * cells)  # fmt: skip


def _copy(connection, table, chosen, **changed):
    columns = [changed.get(column.name, column) for column in table.columns]
    source = sa.select(*columns).where(chosen)
    connection.execute(table.insert().from_select([column.name for column in table.columns], source))
