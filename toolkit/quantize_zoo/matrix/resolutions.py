"""What is told of baselines when they are accepted: whether their samples can show a loss at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from quantize_zoo.config import GateConfig, cell_label
from quantize_zoo.errors import QuantizeZooError
from quantize_zoo.gate import WANTED, Resolution, resolve
from quantize_zoo.matrix.baselines import baselines_folder
from quantize_zoo.scoring import Answers, answers_name, read_answers
from quantize_zoo.store import Baseline, lead_of


def unresolved(accepted: Sequence[Baseline], reports: Path, gate: GateConfig, level: float) -> Iterator[str]:
    """Yield a line for each baseline whose samples do not show a loss of 1.5 times the margin at this level."""
    margin = gate.max_accuracy_drop / 100
    for baseline in accepted:
        try:
            answers = read_answers(baselines_folder(reports) / baseline.answers)
            member, found = _worst(answers, baseline, margin, level)
        except QuantizeZooError:  # what is wrong with the file is told where it is needed
            continue
        if found is None or found.suffices:
            continue
        wanted = f"; {WANTED:g} times the margin take about {found.needed}" if found.needed else ""
        on = f" on {member}" if member else ""
        yield (
            f"{cell_label(baseline.model, baseline.device)}: {found.samples} samples show losses of "
            f"{100 * found.smallest:.2g} % of {baseline.metric} and more{on}, the margin is {100 * margin:g} %{wanted}"
        )


def counted_as(baseline: Baseline) -> int:
    """Return as how many cells that of a baseline counts in a night's level: a fleet as its members."""
    return max(1, len(baseline.reference.fleet))


def _worst(
    answers: Mapping[str, Answers], baseline: Baseline, margin: float, level: float
) -> tuple[str, Resolution | None]:
    """Return what is resolved where that is least, and on which member of a fleet; releases before kept its lead's."""
    lead = lead_of(baseline.reference.fleet)
    pairs = {lead: (answers["fp32"], answers["int8"])}
    for each in baseline.reference.fleet:
        one, other = (answers.get(answers_name(model, each.name)) for model in ("fp32", "int8"))
        if one is not None and other is not None:
            pairs[each.name] = one, other
    found = {name: resolve(*pair, margin, level) for name, pair in pairs.items()}
    return max(found.items(), key=lambda each: 0.0 if each[1] is None else each[1].smallest)
