"""A cell against its baseline, in the cell's process: both sides run today, on this machine.

Three causes are told apart. Runtime: the baseline's own models, against what they answered when they were accepted.
Quantization: the baseline's configuration applied today, against the baseline's INT8 model. Search: tonight's best,
against the same. Of a fleet all of it is compared on every member that is here.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
from quantize_zoo.gate.checks import Check, GateResult
from quantize_zoo.gate.comparison import (
    Terms,
    compare_answers,
    compare_latency,
    growth,
    limited_growth,
    model_checks,
)
from quantize_zoo.gate.layer_outputs import layer_deviations
from quantize_zoo.gate.layers import LayerDeviations
from quantize_zoo.graph import save_model, with_integer_weights
from quantize_zoo.quantization import ModelOption, operations_difference, option_hash
from quantize_zoo.scoring import Answers, answers_name, describe_environment, read_answers, read_contents, start_runtime
from quantize_zoo.store import FleetMember, Reference, StoredBaseline, lead_of

_CONFIGURATION = "the baseline's configuration"


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

    @property
    def chose_another(self) -> bool:
        """Whether tonight's best is another configuration than the baseline's."""
        return self.best is not None and option_hash(self.best) != option_hash(self.baseline.content.option)


@dataclass(frozen=True)
class Tonight:
    """The cell tonight: its FP32 model's file, what tells that one's source apart, and what builds a configuration.

    ``base`` has the operations that can be quantized, ``fleet`` are the members of a fleet's cell.
    """

    fp32: Path
    source: str
    build: Callable[[ModelOption], ov.Model]
    base: ModelOption
    fleet: tuple[FleetMember, ...] = ()


def hold(benches: Sequence[Bench], request: GateRequest, tonight: Tonight) -> GateResult:
    """Compare tonight with the baseline. Where data or model changed since, that is told first.

    Args:
        benches: the cell's; of a fleet first that of the member that leads, then those of the others that are here.
        request: what to compare with.
        tonight: what the cell is.

    Raises:
        CellError: the baseline is of another metric or of a model with other inputs, or its files are gone.

    """
    bench, *others = benches
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
    with tempfile.TemporaryDirectory() as folder:
        rebuilt = _rebuilt(tonight, content.option, Path(folder, "rebuilt.xml"), model, data)
        held = _Held(request, tonight, before, data, model, rebuilt, cache(partial(_baseline_release, request)))
        checks = [*([data.check] if data else []), *([model.check] if model else [])]
        checks += held.checks(bench, {"fp32": today[fp32], "int8": today[int8]})
        if request.best is not None:
            checks += growth(bench, request.terms, int8, request.model, "search", "tonight's best")
        for other in others:
            checks += held.on_member(other, (fp32, int8))
    notes = []
    if request.best is None:
        notes.append("the search found no model")
    elif not request.chose_another:
        notes.append("tonight's best is the baseline's configuration")
    return GateResult(request.baseline.id, request.baseline.accepted_at.isoformat(), tuple(checks), tuple(notes))


@dataclass(frozen=True)
class _Rebuilt:
    """The baseline's configuration, applied today: its file, or the check that tells why there is none.

    ``why`` is what is known of the reason for whatever differs.
    """

    path: Path
    problem: Check | None = None
    why: str = ""


def _rebuilt(
    tonight: Tonight, option: ModelOption, path: Path, model: ModelChange | None, data: DataChange | None
) -> _Rebuilt:
    """Write the baseline's configuration, applied today, as the baseline's was written."""
    differs = operations_difference(option, tonight.base)
    if differs and model:  # another model need not have the baseline's operations
        return _Rebuilt(path, Check("quantization", "accuracy", _CONFIGURATION, "not compared", differs))
    try:
        save_model(with_integer_weights(tonight.build(option)), path)
    except QuantizeZooError as error:
        return _Rebuilt(path, Check("quantization", "accuracy", _CONFIGURATION, "failed", error.what))
    return _Rebuilt(path, why=differs or (data.calibration if data and not model else ""))


@dataclass(frozen=True)
class _Held:
    """A cell held against its baseline, which is the same on every bench; ``before`` is what the baseline answered."""

    request: GateRequest
    tonight: Tonight
    before: Mapping[str, Answers]
    data: DataChange | None
    model: ModelChange | None
    rebuilt: _Rebuilt
    release: Callable[[], Runtime | None]

    def on_member(self, bench: Bench, models: tuple[Path, Path]) -> Iterator[Check]:
        """Yield the checks of a member that does not lead; where it fails, the others are compared all the same.

        Args:
            bench: the member's.
            models: the baseline's FP32 and INT8 file.

        """
        request, subject = self.request, bench.subject("tonight's best")
        try:
            today = {name: bench.answers(bench.read(path)) for name, path in zip(("fp32", "int8"), models, strict=True)}
            yield from self.checks(bench, today)
            if request.best is not None:
                yield from limited_growth(bench, request.terms, models[1], request.model, "search", subject)
        except QuantizeZooError as error:
            yield Check("runtime", "accuracy", bench.subject("the baseline's models"), "failed", error.what)

    def checks(self, bench: Bench, today: Mapping[str, Answers]) -> Iterator[Check]:
        """Yield what is compared on one bench, of which ``today`` has the answers of the baseline's models."""
        request, content = self.request, self.request.baseline.content
        int8 = request.folder / content.int8
        baseline = bench.side(int8), today["int8"]
        yield from self._runtime(bench, today)
        yield from self._release_latency(bench, int8)
        if self.rebuilt.problem is None:
            subject = bench.subject(_CONFIGURATION)
            try:
                checks = model_checks(bench, request.terms, baseline, self.rebuilt.path, "quantization", subject)
                yield from self._told(checks, self.rebuilt.why)
            except QuantizeZooError as error:
                yield Check("quantization", "accuracy", subject, "failed", error.what)
        elif not bench.member:  # it is the same on every member
            yield self.rebuilt.problem
        if request.chose_another:
            subject = bench.subject("tonight's best")
            checks = model_checks(bench, request.terms, baseline, request.model, "search", subject, chosen=True)
            yield from self._told(checks, request.why)

    def _told(self, checks: Iterable[Check], why: str) -> Iterator[Check]:
        """Yield checks with what is known of the reason."""
        for check in checks:
            told = replace(check, why=why or (self.model.why(check) if self.model else ""))
            yield _of_other_calibration(told, self.data) if self.data and not self.model else told

    def _runtime(self, bench: Bench, today: Mapping[str, Answers]) -> Iterator[Check]:
        """Yield the baseline's own models against what they answered when they were accepted."""
        request, content = self.request, self.request.baseline.content
        now, then = lead_of(self.tonight.fleet), lead_of(content.reference.fleet)
        member = bench.member or now
        differences = list(_other_environment(content.reference, self.tonight.fleet, member))
        for name, file in (("fp32", content.fp32), ("int8", content.int8)):
            subject = bench.subject(f"the baseline's {name.upper()} model")
            stored = self.before.get(answers_name(name, "" if member == then else member))
            if stored is None:
                yield Check("runtime", "accuracy", subject, "not compared", f"the baseline has no answers of {member}")
                continue
            if differences:
                told = "; ".join(differences)
                text = f"the environment is another one ({told}): not compared with the stored answers"
                yield Check("runtime", "accuracy", subject, "not compared", text)
                continue
            deviations = partial(_between_releases, bench, request, self.release, request.folder / file)
            pair = stored, today[name]
            if self.data is not None:
                yield runtime_on_common(bench, request.terms, subject, pair, self.data, deviations)
            else:
                yield compare_answers(bench, request.terms, "runtime", subject, *pair, deviations=deviations)

    def _release_latency(self, bench: Bench, int8: Path) -> Iterator[Check]:
        """Yield the baseline's INT8 model under the baseline's OpenVINO release against today's, if it is at hand."""
        runtime = self.release() if bench.measures_latency and not bench.elsewhere else None
        if runtime is not None:
            sides = bench.side(int8, runtime.python), bench.side(int8)
            subject = bench.subject(f"the baseline's INT8 model, {runtime.name} -> now")
            yield compare_latency(bench, self.request.terms, *sides, "runtime", subject)


def _of_other_calibration(check: Check, data: DataChange) -> Check:
    """Take a loss of what was calibrated on other samples for one of the data, which nobody is woken for."""
    if not data.calibration or check.quantity != "accuracy" or check.status != "regressed":
        return check
    return replace(check, status="data-changed", why=data.calibration)


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
    if bench.elsewhere:
        return LayerDeviations(skipped=f"{bench.member} runs on another machine, which has OpenVINO {now} alone")
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


def _other_environment(before: Reference, fleet: Sequence[FleetMember], member: str) -> Iterator[str]:
    """Yield what makes answers of two environments incomparable: what kernels and precisions there are."""
    now = describe_environment()
    pairs = [("instruction sets", *(" ".join(each.instruction_sets) for each in (before.environment, now)))]
    if lead_of(before.fleet) == lead_of(fleet):  # the limit is that of the process that leads
        pairs.append(("limit", before.environment.isa_limit, now.isa_limit))
    there, here = ({each.name: each for each in members} for members in (before.fleet, fleet))
    if member in there and member in here:
        pairs.append((f"precision of {member}", there[member].precision, here[member].precision))
        pairs.append((f"device that stands in for {member}", there[member].scored_on, here[member].scored_on))
    for name, first, second in pairs:
        if first != second:
            yield f"{name} {first or 'none'} -> {second or 'none'}"
