"""A cell against its baseline, in the cell's process: both sides run today, on this machine.

Three causes are told apart. Runtime: the baseline's own models, against what they answered when they were accepted.
Quantization: the baseline's configuration applied today, against the baseline's INT8 model. Search: tonight's best,
against the same.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import openvino as ov

from quantize_zoo import errors
from quantize_zoo.config import Runtime
from quantize_zoo.errors import CellError, QuantizeZooError
from quantize_zoo.gate.bench import Bench
from quantize_zoo.gate.changes import (
    DataChange,
    ModelChange,
    file_change,
    find_data_change,
    find_model_change,
    runtime_on_common,
)
from quantize_zoo.gate.checks import Cause, Check, GateResult
from quantize_zoo.gate.comparison import Deviations, Terms, compare_answers, compare_latency, growth, model_checks
from quantize_zoo.gate.layer_outputs import layer_deviations
from quantize_zoo.gate.layers import LayerDeviations
from quantize_zoo.graph import save_model, with_integer_weights
from quantize_zoo.quantization import ModelOption, operations_difference, option_hash
from quantize_zoo.scoring import Answers, Environment, describe_environment, read_answers, read_contents, start_runtime
from quantize_zoo.store import StoredBaseline, lead_of


@dataclass(frozen=True)
class GateRequest:
    """What to hold a cell against.

    ``folder`` has the files of baselines; ``best`` and ``model`` are tonight's best configuration and its IR. ``why``
    tells why tonight's best is not the baseline's configuration, if that was given up.
    """

    baseline: StoredBaseline
    folder: Path
    best: ModelOption | None
    model: Path
    terms: Terms
    runtimes: tuple[Runtime, ...] = ()
    why: str = ""


@dataclass(frozen=True)
class Tonight:
    """The cell tonight: its FP32 model's file, what tells that one's source apart, and what builds a configuration.

    ``base`` has the operations that can be quantized, ``lead`` is the member that leads, of a fleet's cell.
    """

    fp32: Path
    source: str
    build: Callable[[ModelOption], ov.Model]
    base: ModelOption
    lead: str = ""


def hold(bench: Bench, request: GateRequest, tonight: Tonight) -> GateResult:
    """Compare tonight with the baseline. Where data or model changed since, that is told first.

    Raises:
        CellError: the baseline is of another metric or of a model with other inputs, or its files are gone.

    """
    content = request.baseline.content
    if content.metric != bench.metric:
        raise errors.other_baseline([f"metric ({content.metric!r}, now {bench.metric!r})"])
    fp32, int8 = (request.folder / name for name in (content.fp32, content.int8))
    try:
        loaded = {path: bench.read(path) for path in (fp32, int8)}
    except CellError as error:
        changed = file_change(content, tonight.source)
        if not changed or not (fp32.is_file() and int8.is_file()):
            raise CellError(error.what, where=error.where, remedy=errors.RESTORE_BASELINE) from error
        raise CellError(f"{changed}: {error.what}", where=error.where, remedy=error.remedy) from error
    stored = request.folder / content.answers
    before = read_answers(stored)
    data = find_data_change(content, read_contents(stored), before["int8"].identifiers.tolist(), bench)
    today = {path: bench.answers(model) for path, model in loaded.items()}
    model = find_model_change(
        bench, request.terms, content, (tonight.fp32, tonight.source), (today[fp32], today[int8]),
        lambda path: bench.answers(bench.read(path)),
        partial(layer_deviations, bench, bench.accuracy_side(fp32), bench.accuracy_side(tonight.fp32)),
    )  # fmt: skip
    baseline = bench.side(int8), today[int8]
    release = cache(partial(_baseline_release, request))

    def runtime_deviations(path: Path) -> Deviations:
        return lambda samples: _between_releases(bench, request, release, path, samples)

    def against(path: Path, cause: Cause, subject: str, why: str = "", *, chosen: bool = False) -> Iterator[Check]:
        for check in model_checks(bench, request.terms, baseline, path, cause, subject, chosen=chosen):
            told = replace(check, why=why or (model.why(check) if model else ""))
            yield _of_other_calibration(told, data) if data and not model else told

    checks = [
        *([data.check] if data else []),
        *([model.check] if model else []),
        *_runtime_checks(
            bench,
            request,
            before,
            {"fp32": today[fp32], "int8": today[int8]},
            data,
            tonight.lead,
            {"fp32": runtime_deviations(fp32), "int8": runtime_deviations(int8)},
        ),
        *_release_latency(bench, request, release, int8),
        *_rebuilt_checks(tonight, content.option, against, model, data),
    ]
    notes = []
    if request.best is None:
        notes.append("the search found no model")
    elif option_hash(request.best) == option_hash(content.option):
        notes.append("tonight's best is the baseline's configuration")
    else:
        checks += against(request.model, "search", "tonight's best", request.why, chosen=True)
    if request.best is not None:
        checks += growth(bench, request.terms, int8, request.model, "search", "tonight's best")
    return GateResult(request.baseline.id, request.baseline.accepted_at.isoformat(), tuple(checks), tuple(notes))


def hold_on_member(bench: Bench, request: GateRequest, rebuilt: Path, member: str) -> Iterator[Check]:
    """Yield the checks of a member of a fleet that does not lead: what is new against the baseline's INT8 model there.

    What the runtime does to the baseline's models is told of the member that leads: of others no answers are stored.

    Args:
        bench: the member's.
        request: that of the cell.
        rebuilt: the baseline's configuration, applied today.
        member: its name.

    """
    content = request.baseline.content
    int8, chose_another = request.folder / content.int8, False
    if request.best is not None:
        chose_another = option_hash(request.best) != option_hash(content.option)
    try:
        baseline = bench.side(int8), bench.answers(bench.read(int8))
        against = partial(model_checks, bench, request.terms, baseline)
        yield from against(rebuilt, "quantization", f"the baseline's configuration on {member}")
        if chose_another:
            yield from against(request.model, "search", f"tonight's best on {member}", chosen=True)
    except QuantizeZooError as error:
        yield Check("quantization", "accuracy", f"the fleet's models on {member}", "failed", error.what)


def _of_other_calibration(check: Check, data: DataChange) -> Check:
    """Take a loss of what was calibrated on other samples for one of the data, which nobody is woken for."""
    if not data.calibration or check.quantity != "accuracy" or check.status != "regressed":
        return check
    return replace(check, status="data-changed", why=data.calibration)


def _rebuilt_checks(
    tonight: Tonight,
    option: ModelOption,
    against: Callable[[Path, Cause, str, str], Iterator[Check]],
    model: ModelChange | None,
    data: DataChange | None,
) -> Iterator[Check]:
    """Yield the baseline's configuration, applied today, against the baseline's INT8 model."""
    subject = "the baseline's configuration"
    differs = operations_difference(option, tonight.base)
    if differs and model:  # another model need not have the baseline's operations
        yield Check("quantization", "accuracy", subject, "not compared", differs)
        return
    why = differs or (data.calibration if data and not model else "")
    with tempfile.TemporaryDirectory() as folder:
        rebuilt = Path(folder) / "rebuilt.xml"
        try:
            save_model(with_integer_weights(tonight.build(option)), rebuilt)  # as the baseline's was written
            yield from against(rebuilt, "quantization", subject, why)
        except QuantizeZooError as error:
            yield Check("quantization", "accuracy", subject, "failed", error.what)


def _runtime_checks(
    bench: Bench,
    request: GateRequest,
    before: Mapping[str, Answers],
    today: Mapping[str, Answers],
    data: DataChange | None,
    lead: str,
    deviations: Mapping[str, Deviations],
) -> Iterator[Check]:
    """Yield the baseline's own models against what they answered when they were accepted."""
    reference = request.baseline.content.reference
    differences = list(_other_environment(reference.environment, describe_environment()))
    if lead and (led := lead_of(reference.fleet)) != lead:
        differences.append(f"leading member {led or 'none'} -> {lead}")
    for name, answers in today.items():
        subject = f"the baseline's {name.upper()} model"
        if differences:
            text = f"the environment is another one ({'; '.join(differences)}): not compared with the stored answers"
            yield Check("runtime", "accuracy", subject, "not compared", text)
        elif data is not None:
            yield runtime_on_common(bench, request.terms, subject, (before[name], answers), data, deviations[name])
        else:
            pair = before[name], answers
            yield compare_answers(bench, request.terms, "runtime", subject, *pair, deviations=deviations[name])


def _release_latency(
    bench: Bench, request: GateRequest, release: Callable[[], Runtime | None], int8: Path
) -> Iterator[Check]:
    """Yield the baseline's INT8 model under the baseline's OpenVINO release against today's, if that is at hand."""
    runtime = release() if bench.measures_latency else None
    if runtime is not None:
        sides = bench.side(int8, runtime.python), bench.side(int8)
        subject = f"the baseline's INT8 model, {runtime.name} -> now"
        yield compare_latency(bench, request.terms, *sides, "runtime", subject)


def _baseline_release(request: GateRequest) -> Runtime | None:
    """Return the interpreter of the baseline's OpenVINO release, if that is another one than today's and at hand.

    Of several the first: another one would be one more check than the level counts.
    """
    accepted = request.baseline.content.reference.environment.openvino
    if accepted == describe_environment().openvino:
        return None
    for runtime in request.runtimes:
        with start_runtime(runtime.python) as process:
            if process.openvino == accepted:
                return runtime
    return None


def _between_releases(
    bench: Bench,
    request: GateRequest,
    release: Callable[[], Runtime | None],
    path: Path,
    samples: Sequence[str],
) -> LayerDeviations:
    """Return in which layers a model computes something else than under the baseline's release."""
    accepted, now = request.baseline.content.reference.environment.openvino, describe_environment().openvino
    if accepted == now:
        return LayerDeviations(
            skipped=f"OpenVINO {now} is the release that the baseline was accepted with; what its layers computed then "
            "is not stored, only the answers are"
        )
    try:
        runtime = release()
    except CellError as error:  # an interpreter does not start; the answers are compared without
        return LayerDeviations(skipped=error.what)
    if runtime is None:
        return LayerDeviations(
            skipped=f"only the answers of OpenVINO {accepted} are stored; an interpreter that has it, named under "
            "'runtimes' of the matrix, would tell its layers"
        )
    return layer_deviations(bench, bench.accuracy_side(path, runtime.python), bench.accuracy_side(path), samples)


def _other_environment(before: Environment, now: Environment) -> Iterator[str]:
    """Yield what makes answers of two environments incomparable: what kernels and precisions there are."""
    for name, first, second in (
        ("instruction sets", " ".join(before.instruction_sets), " ".join(now.instruction_sets)),
        ("limit", before.isa_limit, now.isa_limit),
    ):
        if first != second:
            yield f"{name} {first or 'none'} -> {second or 'none'}"
