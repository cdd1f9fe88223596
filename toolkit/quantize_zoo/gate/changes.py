"""What changed since the baseline that no runtime and no quantization did: the data, and the model file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from quantize_zoo.gate.bench import Bench
from quantize_zoo.gate.checks import ChangedSample, Check, CheckStatus
from quantize_zoo.gate.comparison import LISTED_SAMPLES, Deviations, Terms, compare_answers
from quantize_zoo.graph import content_hash
from quantize_zoo.scoring import Answers, Contents, describe_environment
from quantize_zoo.search import relative_accuracy_loss
from quantize_zoo.store import Baseline
from quantize_zoo.text.counts import counted

_ABSENT = "not there"

Key = tuple[str, int]  # a sample's name, and how many of that name come before it


@dataclass(frozen=True)
class DataChange:
    """How the data differ from the baseline's.

    ``same`` are the positions of the samples that are as they were, in the baseline's dataset and in tonight's.
    ``known`` tells whether the baseline kept what its samples were: else only their names are compared.
    """

    text: str
    changed: tuple[ChangedSample, ...]
    count: int
    calibration: str
    same: tuple[tuple[int, int], ...]
    samples: int
    known: bool

    @property
    def check(self) -> Check:
        """The change as a check, which is no alarm."""
        text = f"the data changed: {self.text}"
        return Check(
            "data", "samples", "the dataset", "data-changed", text, changed=self.changed, changed_count=self.count
        )


def find_data_change(
    baseline: Baseline, before: Contents | None, names: Sequence[str], bench: Bench
) -> DataChange | None:
    """Return how tonight's data differ from the baseline's; None if they do not.

    Args:
        baseline: whose data they were.
        before: what its samples were, if it kept that.
        names: the baseline's samples.
        bench: has tonight's data.

    """
    now = bench.contents
    if baseline.dataset in (bench.dataset, bench.former_dataset):
        return None
    old = {key: index for index, key in enumerate(_keys(names))}
    new = {key: index for index, key in enumerate(_keys(now.identifiers.tolist()))}
    both = [(old[key], new[key]) for key in old if key in new]
    labels: set[tuple[int, int]] = set()
    inputs: set[tuple[int, int]] = set()
    if before is not None:
        labels = {(one, other) for one, other in both if before.annotations[one] != now.annotations[other]}
        inputs = {(one, other) for one, other in both if before.inputs[one] != now.inputs[other]}
    more, fewer = [key for key in new if key not in old], [key for key in old if key not in new]
    moved = labels | inputs
    if before is not None and not (moved or more or fewer):
        return None
    listed = [
        *(ChangedSample(names[pair[0]], *_texts(before, now, pair, moved=pair in inputs)) for pair in both
          if pair in moved),
        *(ChangedSample(name, _ABSENT, _label(now, new[name, number])) for name, number in more),
        *(ChangedSample(name, _label(before, old[name, number]), _ABSENT) for name, number in fewer),
    ]  # fmt: skip
    kind = "label" if now.labels.astype(bool).all() else "annotation"
    parts = [
        *([counted(len(labels), kind)] if labels else []),
        *([f"inputs of {counted(len(inputs), 'sample')}"] if inputs else []),
        *([f"{counted(len(more), 'sample')} more"] if more else []),
        *([f"{counted(len(fewer), 'sample')} fewer"] if fewer else []),
    ]
    if before is None:
        parts.append("which of the others did is not known, since an older release accepted the baseline")
    calibration = _calibration(before, now)
    parts += [calibration] if calibration else []
    same = tuple(pair for pair in both if pair not in moved)
    return DataChange(
        ", ".join(parts),
        tuple(listed[:LISTED_SAMPLES]),
        len(listed),
        calibration,
        same,
        len(names),
        before is not None,
    )


def runtime_on_common(
    bench: Bench,
    terms: Terms,
    subject: str,
    answers: tuple[Answers, Answers],
    change: DataChange,
    deviations: Deviations | None = None,
) -> Check:
    """Compare a model's stored answers with today's, on the samples that are as they were."""

    def not_compared(why: str) -> Check:
        return Check("runtime", "accuracy", subject, "not compared", f"the data changed, and {why}")

    if not change.same:
        return not_compared("no sample is as it was")
    if bench.accuracy.sequences is not None:
        return not_compared("what is answered to a step depends on those before it")
    before, today = (each.only([pair[side] for pair in change.same]) for side, each in enumerate(answers))
    on = f"on the {len(change.same)} of {change.samples} samples that are as they were"
    if (before.digests == today.digests).all():
        return Check("runtime", "accuracy", subject, "pass", f"{on} every output is the same")
    if not change.known:
        return not_compared("whether a sample did cannot be told")
    if before.values is None or today.values is None:
        return not_compared(f"{bench.metric} is one of the whole dataset; {on} outputs are others")
    check = compare_answers(bench, terms, "runtime", subject, before, today, deviations=deviations)
    return replace(check, text=f"{on} {check.text}")


@dataclass(frozen=True)
class ModelChange:
    """How the FP32 model differs from the baseline's: as a check, and what that says of others.

    ``fp32`` are the metrics of the baseline's FP32 model and of tonight's, both today; ``int8`` is that of the
    baseline's INT8 model.
    """

    check: Check
    fp32: tuple[float, float]
    int8: float
    higher_is_better: bool

    def why(self, check: Check) -> str:
        """Return what is to be said of a check of INT8 models: how much of it is FP32's, and what the rest adds."""
        if check.quantity != "accuracy" or check.change is None:
            return "the model file changed"
        # The INT8 model's metric, from its loss against the baseline's.
        sign = -1 if self.higher_is_better else 1
        now = self.int8 + sign * check.change.value * abs(self.int8)
        fell, before, added = (
            100 * relative_accuracy_loss(one, other, higher_is_better=self.higher_is_better)
            for one, other in (self.fp32, (self.fp32[0], self.int8), (self.fp32[1], now))
        )
        moved = f"loses {fell:.2f} %" if fell > 0 else f"gains {-fell:.2f} %"
        return (
            f"the model file changed, and its FP32 {moved}; INT8 loses {added:.2f} % of FP32's, "
            f"{before:.2f} % in the baseline"
        )


def file_change(baseline: Baseline, source: str) -> str:
    """Tell that the model file is another one, by what tells sources apart; empty if it is the same."""
    stored = baseline.reference.identity.get("model content", "not known")
    return "" if stored == source else f"the model file changed ({stored} -> {source})"


def find_model_change(
    bench: Bench,
    terms: Terms,
    baseline: Baseline,
    now: tuple[Path, str],
    answers: tuple[Answers, Answers],
    fp32_answers: Callable[[Path], Answers],
    deviations: Deviations | None = None,
) -> ModelChange | None:
    """Return how tonight's FP32 model differs from the baseline's; None if it is the same file.

    Args:
        bench: the data.
        terms: what is allowed.
        baseline: whose model it was.
        now: tonight's canonical file, and what tells its source apart.
        answers: what the baseline's FP32 and INT8 model answer today.
        fp32_answers: returns what a file answers today.
        deviations: tells in which layers the two FP32 models differ.

    """
    path, source = now
    before = Path(baseline.fp32).parent.name
    found = content_hash(path)
    if before == found:
        return None
    told = file_change(baseline, source)
    if not told:
        told = f"OpenVINO {describe_environment().openvino} makes another one of the model file than the baseline's"
        told += f" {baseline.reference.environment.openvino} ({before[:12]} -> {found[:12]})"
    fp32, int8 = answers
    today = fp32_answers(path)
    check = compare_answers(bench, terms, "model", "the FP32 model", fp32, today, deviations=deviations)
    metrics = fp32.metrics[bench.metric], today.metrics[bench.metric]
    # Another file is never silence, even where it answers the same.
    status: CheckStatus = "changed" if check.status == "pass" and file_change(baseline, source) else check.status
    text = f"{told}: FP32 {metrics[0]:.4f} -> {metrics[1]:.4f}, {check.text}"
    better = bench.accuracy.higher_is_better(bench.metric)
    return ModelChange(replace(check, status=status, text=text), metrics, int8.metrics[bench.metric], better)


def _keys(names: Sequence[str]) -> Iterator[Key]:
    seen: Counter[str] = Counter()
    for name in names:
        yield name, seen[name]
        seen[name] += 1


def _texts(before: Contents | None, now: Contents, pair: tuple[int, int], *, moved: bool) -> tuple[str, str]:
    """Return a sample before and now, in words."""
    texts = _label(before, pair[0]), _label(now, pair[1])
    if moved:
        return texts[0], f"{texts[1]}, another input"
    return texts if texts[0] != texts[1] else (texts[0], "another annotation")


def _label(contents: Contents | None, index: int) -> str:
    label = "" if contents is None else str(contents.labels[index])
    return f"label {label}" if label else "there"


def _calibration(before: Contents | None, now: Contents) -> str:
    """Tell how many of tonight's calibration samples are not the baseline's; empty if they are all the same."""
    if before is None:
        return ""
    was, here = (
        Counter(zip(each.identifiers[each.calibration].tolist(), each.inputs[each.calibration].tolist(), strict=True))
        for each in (before, now)
    )
    others = (here - was).total()
    return f"{others} of {here.total()} calibration samples are others" if others else ""
