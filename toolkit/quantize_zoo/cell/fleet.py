"""A fleet's candidates: built once, asked about on every member, measured on each by itself.

The member that leads runs in the cell's process, which also has data, adapter and metrics; each of the others runs in a
process of its own, since oneDNN reads its limit once: on this machine, or on one of its kind that an engine has found.
They work one after another: never do two measure at once.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from quantize_zoo.cell.candidates import Candidate, CellCandidates
from quantize_zoo.cell.cell import CPU
from quantize_zoo.cell.elsewhere import SampleSets, compared
from quantize_zoo.cell.members import OtherMember
from quantize_zoo.cell.surveying import Place, place_here, survey_fleet
from quantize_zoo.cell.values import Answered, Finished
from quantize_zoo.config import DeviceSpec, FleetSpec, WeightCompression
from quantize_zoo.errors import DeviceUnavailableError
from quantize_zoo.gate.bench import Bench
from quantize_zoo.graph import read_model, save_model
from quantize_zoo.quantization import ModelOption
from quantize_zoo.scoring import (
    Estimate,
    PairedLatency,
    describe_kind,
    emulation_note,
    far_start,
    mean_estimate,
    require_device,
)
from quantize_zoo.scoring.far_process import Ask
from quantize_zoo.search import (
    Built,
    Known,
    MemberScore,
    Scored,
    Survey,
    Timed,
    combined_latency,
    is_slower,
    relative_accuracy_loss,
)
from quantize_zoo.store import Elsewhere, FleetMember, Holdout, ReferencePoint


class _Draft:
    """The file of the candidate at hand, for those that run in other processes; a new name for each."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._model: ov.Model | None = None
        self._count = 0

    def of(self, model: ov.Model) -> Path:
        if model is not self._model:
            self._path.unlink(missing_ok=True)
            self._path.with_suffix(".bin").unlink(missing_ok=True)
            self._count += 1
            save_model(model, self._path)
            self._model = model
        return self._path

    @property
    def _path(self) -> Path:
        return self._folder / f"candidate-{self._count}.xml"


class Fleet:
    """The members of a fleet that are here; as long as the cell's process.

    Args:
        spec: the fleet.
        work: the candidates of the member that leads.
        limit: the instruction set that oneDNN is limited to where a member does not ask for one; empty for none.
        folder: takes the file of the candidate at hand; it is removed with the process.
        ask: sends messages to the processes of members that run elsewhere.

    Raises:
        CellError: the models run nowhere but in the cell's process, or FP32 cannot be scored on a member.

    """

    def __init__(self, spec: FleetSpec, work: CellCandidates, limit: str, folder: Path, ask: Ask) -> None:
        work.bench.accuracy.require_separable()
        self._allow_slower = spec.allow_slower
        self._specs = {member.label: member for member in spec.members}
        self._work = work
        self._stack = ExitStack()
        self._lead = work.cell.device.label
        self._lead_isa = work.cell.device.isa or limit
        self._others: dict[str, OtherMember] = {}
        self._draft = _Draft(folder)
        self._fp32 = work.cell.model.model
        self._kind, self._limit = describe_kind(limit), limit
        places = dict(work.cell.places)
        rows = [
            self._open_far(member, places[member.label], ask) if member.label in places else self._open(member, limit)
            for member in spec.members
        ]
        whole = sum(spec.shares[row.name] for row in rows if not row.unavailable)
        self.members = tuple(
            replace(row, share=0.0 if row.unavailable else spec.shares[row.name] / whole) for row in rows
        )
        self._shares = {row.name: row.share for row in self.members if not row.unavailable}

    def candidates(self, known: Known) -> FleetCandidates:
        """Return what evaluates an option on all members, as far as it is known which fail most."""
        return FleetCandidates(self, known)

    def notes(self) -> Iterator[str]:
        """Yield what the user should know of the members."""
        for each in self.members:
            if each.unavailable:
                yield f"member {each.name} is not here ({each.unavailable}): the model is tuned for the others"
            elif not each.scored_on:
                yield f"member {each.name} is {each.place}"
                if not each.elsewhere and (note := emulation_note(self._specs[each.name], each.precision, self._limit)):
                    yield note
            elif each.name != self._lead:  # of which the cell tells as much
                yield f"member {each.name} is not here: accuracy scored on {each.scored_on}, latency not measured"

    def refusal(self, way: WeightCompression, candidate: ov.Model) -> str:
        """Tell which member that does not lead does not run a model with weights compressed in one way, and why."""
        for name, other in self._others.items():
            problem = other.weights_problem(way)
            if why := problem or other.refusal(self._draft.of(candidate)):
                return f"{name}: {why}"
        return ""

    def weights_problem(self) -> str:
        """Tell which member that does not lead must not run compressed weights that are integers, and why."""
        found = ((name, each.integers_problem) for name, each in self._others.items())
        return next((f"{name}: {why}" for name, why in found if why), "")

    def build(self, option: ModelOption) -> tuple[Built, Candidate]:
        """See ``Candidates``."""
        return self._work.build(option)

    def score(self, candidate: Candidate, known: Known, *, below: float) -> Scored:
        """Ask the members one after another, up to the first where a candidate surely loses more than ``below``.

        Once a candidate was found that is valid everywhere, the loss on all of a member's samples is sure enough.
        """
        found: dict[str, MemberScore] = {}
        passed: dict[str, Scored] = {}
        started = time.perf_counter()
        told, ended = self._lead, False
        for name in known.members or tuple(self._shares):
            passed[name] = each = self._pass(name, candidate, below=below)
            found[name] = self._judged(name, each)
            ended = each.hopeless or (known.found and found[name].accuracy_loss > below)
            if ended or not math.isfinite(each.accuracy.value):
                told = name
                break
        compiled = sum(each.compile_seconds for each in passed.values())
        worst = max(found, key=lambda name: found[name].accuracy_loss)
        return replace(
            passed[told],
            hopeless=ended,
            compile_seconds=compiled,
            seconds=time.perf_counter() - started - compiled,
            members=tuple(found.values()),
            accuracy_loss=None if ended else self._work.loss(passed[worst], *self._fp32_on(worst)),
        )

    def measure(self, candidate: Candidate) -> Timed:
        """Measure a candidate on all members against FP32 on each."""
        started = time.perf_counter()
        lead = self._work.measure(candidate)
        path = self._draft.of(candidate.model)
        latencies = self._on_all(lead.latency, lambda other: other.measured(self._fp32, path))
        seconds = time.perf_counter() - started - lead.compile_seconds
        return replace(
            lead, latency=self._combined(latencies), seconds=seconds, members=latencies, slower=self._slower(latencies)
        )

    def survey(self, base: ModelOption, evaluated: int) -> Survey:
        """Find out what quantizing operations saves on the members, one after another, and what it changes.

        Raises:
            CellError: a model cannot be built.

        """
        work, allow_slower = self._work, self._allow_slower
        places = []
        asked = {self._lead_isa}  # what members of one instruction set compute in floating point is the same
        # What a stand-in takes is not what its member does; where all are stand-ins, the lead tells of changes alone.
        timed = {self._lead, *(name for name, other in self._others.items() if other.bench.measures_latency)}
        whole = sum(self._shares[name] for name in timed)
        for name, share in self._shares.items():
            if name == self._lead:
                places.append(replace(place_here(work.bench), name=name, share=share / whole))
            elif name in timed:
                other = self._others[name]
                isa = other.bench.isa or ""
                places.append(Place(other.rounds, None if isa in asked else other.infer, name, share / whole))
                asked.add(isa)
        return survey_fleet(work.pipeline, work.fp32.model, base, places, evaluated, allow_slower=allow_slower)

    def compare(self, first: ov.Model, second: ov.Model, on_lead: PairedLatency | None) -> PairedLatency:
        """Return the latency of the second, as FP32's, and of the first on all members; the lead's is known."""
        with tempfile.TemporaryDirectory() as folder:
            one, other = Path(folder, "first.xml"), Path(folder, "second.xml")
            save_model(first, one)
            save_model(second, other)
            found = self._on_all(on_lead, lambda member: member.measured(other, one, final=True))
        combined = self._combined(found)
        assert combined is not None, "candidates are compared where latency is measured"
        return combined

    def finish_others(self, path: Path, samples: SampleSets) -> dict[str, Answered]:
        """Find out what an exported model is on each member that does not lead, by its name."""
        return {name: other.finished(path, samples) for name, other in self._others.items()}

    def finish(self, finished: Finished, path: Path, samples: SampleSets, others: Mapping[str, Answered]) -> Finished:
        """Return what is told of an exported model, with what it is on each member; ``others`` are known."""
        members = self._everywhere(read_model(path), samples, finished.latency, others)
        latencies = _latencies(members)
        losses = [each.accuracy_loss for each in members if each.accuracy_loss is not None]
        return replace(
            finished,
            latency=self._combined(latencies),
            holdout=_worst_holdout(members),
            loss=max(losses, key=_least),
            members=members,
            slower=self._slower(latencies),
        )

    def reference(self, point: ReferencePoint, model: ov.Model, samples: SampleSets) -> ReferencePoint:
        """Return what another tool's model is, with what it is on each member."""
        others = self.finish_others(self._draft.of(model), samples)
        members = self._everywhere(model, samples, point.latency, others)
        latency = self._combined(_latencies(members))
        return replace(point, latency=latency, holdout=_worst_holdout(members), members=members)

    @property
    def precisions(self) -> tuple[tuple[DeviceSpec, str], ...]:
        """The members that are here, each with the floating point precision that FP32 runs in there."""
        found = {row.name: row.precision for row in self.members if not row.unavailable and not row.scored_on}
        return tuple((self._specs[name], precision) for name, precision in found.items())

    @property
    def benches(self) -> tuple[Bench, ...]:
        """What compares models on each member, that of the one that leads first."""
        return (self._work.bench, *(other.bench for other in self._others.values()))

    def _open(self, member: DeviceSpec, limit: str) -> FleetMember:
        """Make a member ready on this machine, if it is here."""
        work, name = self._work, member.label
        device, isa, is_here = member, member.isa or limit, name != self._lead or not work.cell.scored_on_cpu
        try:
            require_device(member)
        except DeviceUnavailableError as error:
            if not work.cell.absent_on_cpu:
                return FleetMember(name, 0.0, unavailable=error.what)
            device, isa, is_here = CPU, limit, False
        row = FleetMember(
            name,
            0.0,
            played=is_here and member.isa is not None and not self._kind.is_of(member),
            machine=self._kind.name_for(device),
            scored_on="" if is_here else device.label,
        )
        if name == self._lead:
            fp32 = mean_estimate(work.fp32.accuracy, work.fp32.per_sample)
            return replace(row, accuracy=fp32, precision=work.precision)
        return self._opened(row, OtherMember(work, name, device, isa, timed=is_here))

    def _open_far(self, member: DeviceSpec, machine: str, ask: Ask) -> FleetMember:
        """Make a member ready on a machine of its kind."""
        name, isa = member.label, member.isa or ""
        other = OtherMember(self._work, name, member, isa, far=far_start(ask, name, member.isa))
        return self._opened(FleetMember(name, 0.0, machine=machine, elsewhere=True), other)

    def _opened(self, row: FleetMember, other: OtherMember) -> FleetMember:
        self._stack.callback(other.close)
        self._others[row.name] = other
        fp32 = mean_estimate(other.accuracy, other.per_sample)
        return replace(row, accuracy=fp32, precision=other.precision)

    def _pass(self, name: str, candidate: Candidate, *, below: float) -> Scored:
        if name == self._lead:
            return self._work.passed(candidate, below=below)
        return self._others[name].passed(self._draft.of(candidate.model), below=below)

    def _judged(self, name: str, found: Scored) -> MemberScore:
        before, _ = self._fp32_on(name)
        better = self._work.fp32.higher_is_better
        lost = relative_accuracy_loss(before, found.accuracy.value, higher_is_better=better)
        return MemberScore(name, found.accuracy, lost, found.hopeless)

    def _fp32_on(self, name: str) -> tuple[float, NDArray[np.float64] | None]:
        """Return FP32's metric on a member, and its values of single samples, if it has such."""
        fp32 = self._work.fp32 if name == self._lead else self._others[name]
        return fp32.accuracy, fp32.per_sample

    def _on_all(
        self, on_lead: PairedLatency | None, measure: Callable[[OtherMember], PairedLatency | None]
    ) -> dict[str, PairedLatency]:
        """Return what is measured on each member, in the fleet's order."""
        found = {name: on_lead if name == self._lead else measure(self._others[name]) for name in self._shares}
        return {name: latency for name, latency in found.items() if latency is not None}

    def _everywhere(
        self, model: ov.Model, samples: SampleSets, on_lead: PairedLatency | None, others: Mapping[str, Answered]
    ) -> tuple[Elsewhere, ...]:
        """Return what FP32 and a model are on each member, in the fleet's order."""
        return tuple(
            self._on_lead(model, samples, on_lead) if name == self._lead else others[name].figures
            for name in self._shares
        )

    def _on_lead(self, model: ov.Model, samples: SampleSets, latency: PairedLatency | None) -> Elsewhere:
        started, work = time.perf_counter(), self._work
        answers = [work.bench.answers(each) for each in (work.fp32.model, model)]
        search, holdout = (compared(work, answers, indices) if indices else None for indices in samples)
        assert search is not None, "a search has samples"
        return Elsewhere(
            self._lead, work.precision, search.fp32, search.int8, search.accuracy_loss, holdout, latency,
            time.perf_counter() - started,
        )  # fmt: skip

    def _combined(self, latencies: Mapping[str, PairedLatency]) -> PairedLatency | None:
        return combined_latency(latencies, self._shares) if latencies else None

    def _slower(self, latencies: Mapping[str, PairedLatency]) -> tuple[str, ...]:
        if self._allow_slower:
            return ()
        return tuple(name for name, latency in latencies.items() if is_slower(latency))


@dataclass(frozen=True)
class FleetCandidates:
    """Implements ``Candidates`` for a fleet."""

    fleet: Fleet
    known: Known = field(default_factory=Known)

    def build(self, option: ModelOption) -> tuple[Built, Candidate]:
        """See ``Candidates``."""
        return self.fleet.build(option)

    def score(self, candidate: Candidate, *, below: float = math.inf) -> Scored:
        """See ``Candidates``; what one member loses, the worst loses at least."""
        return self.fleet.score(candidate, self.known, below=below)

    def measure(self, candidate: Candidate) -> Timed:
        """See ``Candidates``."""
        return self.fleet.measure(candidate)


def _latencies(members: Sequence[Elsewhere]) -> dict[str, PairedLatency]:
    return {each.environment: each.latency for each in members if each.latency is not None}


def _worst_holdout(members: Sequence[Elsewhere]) -> Holdout | None:
    found = [each.holdout for each in members if each.holdout is not None]
    return max(found, key=lambda each: _least(each.accuracy_loss), default=None)


def _least(loss: Estimate) -> float:
    """Return what is lost at least, where that is known."""
    found = loss.value if loss.low is None else loss.low
    return math.inf if math.isnan(found) else found
