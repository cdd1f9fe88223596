"""The best model in other environments than its cell's, each played by a process of its own on this machine.

oneDNN reads its limit once a process. Data, adapter and metrics stay in the cell's process; only inference is there.
"""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from quantize_zoo import errors
from quantize_zoo.cell.candidates import CellCandidates
from quantize_zoo.cell.finishing import loss_between
from quantize_zoo.cell.values import Answered
from quantize_zoo.config import DeviceSpec
from quantize_zoo.errors import CellError
from quantize_zoo.graph import has_compressed_integers, read_model
from quantize_zoo.scoring import (
    Answers,
    ModelProcess,
    Side,
    accuracy_properties,
    integer_weights_problem,
    is_emulated,
    latency_properties,
    mean_estimate,
    measure_in_process,
    start_runtime,
)
from quantize_zoo.scoring.runtimes import BATCH
from quantize_zoo.store import Elsewhere, Holdout

SampleSets = tuple[tuple[int, ...], tuple[int, ...]]  # the samples of the search, and of the holdout
_OVER = "not played: as much time as ten trials took was over"
_CLEAR = 0.1  # of a pass, after which it is clear whether the time suffices for the rest
_MARGIN = 1.5  # by which the first samples may be slower than others
Output = TypeVar("Output")


class _TimeIsOverError(Exception):
    """An environment's pass is not worth more time."""


def score_elsewhere(
    work: CellCandidates,
    environments: Sequence[DeviceSpec],
    limit: str,
    model: Path,
    samples: SampleSets,
    seconds: float,
) -> Iterator[Elsewhere]:
    """Yield what FP32 and a model are in each environment; one that cannot be played, or no more in time, says so.

    Args:
        work: the cell's.
        environments: what to play, the most telling first.
        limit: the instruction set that oneDNN is limited to where an environment does not ask for one.
        model: the model's file.
        samples: those of the search, and those of the holdout.
        seconds: how long all of them may take together.

    Raises:
        CellError: the session's models run nowhere but in the cell's process.

    """
    work.bench.accuracy.require_separable()
    deadline = time.perf_counter() + seconds
    reads_integers = has_compressed_integers(read_model(model))
    for environment in environments:
        started = time.perf_counter()
        try:
            if started >= deadline:
                raise _TimeIsOverError
            isa = environment.isa or limit
            if reads_integers and (problem := integer_weights_problem(environment, isa)):
                raise errors.not_playable(environment.label, problem)
            with start_runtime(limit=deadline - started, isa=isa) as process:
                timed = not is_emulated(environment, environment.inference_precision or "", isa)
                found = score_there(work, environment, isa, process, model, samples, deadline, timed=timed).figures
        except _TimeIsOverError:
            found = Elsewhere(environment.label, skipped=_OVER)
        except CellError as error:
            over = time.perf_counter() >= deadline  # a command took longer than all may
            found = Elsewhere(environment.label, skipped=_OVER if over else error.what)
        except Exception as error:  # nothing foresaw it; the log has the traceback, and others are played all the same
            traceback.print_exc()
            found = Elsewhere(environment.label, skipped=f"unexpected error: {type(error).__name__}: {error}")
        yield replace(found, seconds=time.perf_counter() - started)


def score_there(
    work: CellCandidates,
    environment: DeviceSpec,
    isa: str,
    process: ModelProcess,
    model: Path,
    samples: SampleSets,
    deadline: float = math.inf,
    *,
    final: bool = False,
    timed: bool = True,
) -> Answered:
    """Find out what FP32 and a model are in an environment that a process plays; arguments as above.

    Latency is measured, if it is, as that of a trial, or as what is reported of a finished model.

    Raises:
        CellError: they cannot be run there, or FP32's metric is no number to refer to.

    """
    bench = work.bench
    answers: list[Answers] = []
    properties = accuracy_properties(environment, isa)
    for path in (work.cell.model.model, model):
        process.load(Side(path, environment.device, properties))
        inputs = bench.accuracy.inputs()
        outputs = _until(deadline, process.infer(inputs), len(inputs))
        answers.append(bench.accuracy.answers_of(outputs, bench.metric))
    precision = process.precision()
    process.free()
    search, holdout = (compared(work, answers, indices) if indices else None for indices in samples)
    latency = None
    if timed and bench.measures_latency and time.perf_counter() < deadline:
        for_latency = latency_properties(environment, bench.benchmark, isa)
        fp32, int8 = (Side(path, environment.device, for_latency) for path in (work.cell.model.model, model))
        latency = measure_in_process(process, (fp32, int8), bench.timed_samples(), bench.benchmark, final=final)
    assert search is not None, "a search has samples"
    found = Elsewhere(environment.label, precision, search.fp32, search.int8, search.accuracy_loss, holdout, latency)
    return Answered(found, *answers)


def compared(work: CellCandidates, answers: Sequence[Answers], indices: tuple[int, ...]) -> Holdout:
    """Return the tuned metric of both models on some samples."""
    bench = work.bench
    fp32, int8 = (bench.accuracy.part(each, list(indices)) for each in answers)
    value = fp32.metrics[bench.metric]
    if value == 0 or not math.isfinite(value):
        raise errors.fp32_metric_unusable(bench.metric, value, len(indices))
    before, after = (mean_estimate(each.metrics[bench.metric], each.values) for each in (fp32, int8))
    return Holdout(before, after, loss_between(fp32, int8, higher_is_better=work.fp32.higher_is_better))


def _until(deadline: float, outputs: Iterable[Output], count: int) -> Iterator[Output]:
    """Yield ``count`` outputs; end once it is clear that they will not all be there in time."""
    started = time.perf_counter()
    for done, output in enumerate(outputs, 1):
        now = time.perf_counter()
        ahead = min(count, done + BATCH - 1)  # a batch comes at once, so as many may be inferred already
        left = (count / ahead - 1) / _MARGIN if done >= _CLEAR * count else 0.0
        if now + (now - started) * left >= deadline:
            raise _TimeIsOverError
        yield output
