"""A cell against its baseline, in the cell's process: both sides run today, on this machine.

Three causes are told apart. Runtime: the baseline's own models, against what they answered when they were accepted.
Quantization: the baseline's configuration applied today, against the baseline's INT8 model. Search: tonight's best,
against the same.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import openvino as ov

from quantize_zoo import errors
from quantize_zoo.config import Runtime
from quantize_zoo.errors import QuantizeZooError
from quantize_zoo.gate.bench import Bench
from quantize_zoo.gate.checks import Cause, Check, GateResult
from quantize_zoo.gate.comparison import Terms, compare_answers, compare_latency, growth, model_checks
from quantize_zoo.graph import save_model
from quantize_zoo.quantization import ModelOption, option_hash
from quantize_zoo.scoring import Answers, Environment, describe_environment, read_answers, start_runtime
from quantize_zoo.store import StoredBaseline


@dataclass(frozen=True)
class GateRequest:
    """What to hold a cell against.

    ``folder`` has the files of baselines; ``best`` and ``model`` are tonight's best configuration and its IR.
    """

    baseline: StoredBaseline
    folder: Path
    best: ModelOption | None
    model: Path
    terms: Terms
    runtimes: tuple[Runtime, ...] = ()


def hold(bench: Bench, request: GateRequest, build: Callable[[ModelOption], ov.Model]) -> GateResult:
    """Compare tonight with the baseline; ``build`` makes a configuration's model as it is exported.

    Raises:
        CellError: the baseline is of another dataset, metric or model, or its files are gone.

    """
    content = request.baseline.content
    _require_same(bench, request)
    fp32, int8 = (request.folder / name for name in (content.fp32, content.int8))
    loaded = {path: bench.read(path) for path in (fp32, int8)}
    before = read_answers(request.folder / content.answers)
    today = {path: bench.answers(model) for path, model in loaded.items()}
    baseline = bench.side(int8), today[int8]

    def against(path: Path, cause: Cause, subject: str, *, chosen: bool = False) -> Iterator[Check]:
        return model_checks(bench, request.terms, baseline, path, cause, subject, chosen=chosen)

    checks = [
        *_runtime_checks(bench, request, before, {"fp32": today[fp32], "int8": today[int8]}),
        *_release_latency(bench, request, int8),
    ]
    with tempfile.TemporaryDirectory() as folder:
        rebuilt = Path(folder) / "rebuilt.xml"
        try:
            save_model(build(content.option), rebuilt)
            checks += against(rebuilt, "quantization", "the baseline's configuration")
        except (QuantizeZooError, KeyError) as error:
            text = error.what if isinstance(error, QuantizeZooError) else f"the model has no operation {error}"
            checks.append(Check("quantization", "accuracy", "the baseline's configuration", "failed", text))
    notes = []
    if request.best is None:
        notes.append("the search found no model")
    elif option_hash(request.best) == option_hash(content.option):
        notes.append("tonight's best is the baseline's configuration")
    else:
        checks += against(request.model, "search", "tonight's best", chosen=True)
    if request.best is not None:
        checks += growth(bench, request.terms, int8, request.model, "search", "tonight's best")
    return GateResult(request.baseline.id, request.baseline.accepted_at.isoformat(), tuple(checks), tuple(notes))


def _runtime_checks(
    bench: Bench, request: GateRequest, before: Mapping[str, Answers], today: Mapping[str, Answers]
) -> Iterator[Check]:
    """Yield the baseline's own models against what they answered when they were accepted."""
    accepted = request.baseline.content.reference.environment
    differences = list(_other_environment(accepted, describe_environment()))
    for name, answers in today.items():
        subject = f"the baseline's {name.upper()} model"
        if differences:
            text = f"the environment is another one ({'; '.join(differences)}): not compared with the stored answers"
            yield Check("runtime", "accuracy", subject, "not compared", text)
        else:
            yield compare_answers(bench, request.terms, "runtime", subject, before[name], answers)


def _release_latency(bench: Bench, request: GateRequest, int8: Path) -> Iterator[Check]:
    """Yield the baseline's INT8 model under the baseline's OpenVINO release against today's, if that is at hand."""
    accepted = request.baseline.content.reference.environment.openvino
    if not bench.measures_latency or accepted == describe_environment().openvino:
        return
    for runtime in request.runtimes:
        with start_runtime(runtime.python) as process:
            found = process.openvino
        if found == accepted:
            sides = bench.side(int8, runtime.python), bench.side(int8)
            subject = f"the baseline's INT8 model, {runtime.name} -> now"
            yield compare_latency(bench, request.terms, *sides, "runtime", subject)
            return  # another interpreter of the same release would be one more check than the level counts


def _other_environment(before: Environment, now: Environment) -> Iterator[str]:
    """Yield what makes answers of two environments incomparable: what kernels and precisions there are."""
    for name, first, second in (
        ("instruction sets", " ".join(before.instruction_sets), " ".join(now.instruction_sets)),
        ("limit", before.isa_limit, now.isa_limit),
    ):
        if first != second:
            yield f"{name} {first or 'none'} -> {second or 'none'}"


def _require_same(bench: Bench, request: GateRequest) -> None:
    content = request.baseline.content
    differences = [
        f"{name} ({before!r}, now {now!r})"
        for name, before, now in (("metric", content.metric, bench.metric), ("dataset", content.dataset, bench.dataset))
        if before != now
    ]
    if differences:
        raise errors.other_baseline(differences)
