"""What is told of baselines when they are accepted: whether their samples can show a loss at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from quantize_zoo.config import GateConfig, cell_label
from quantize_zoo.errors import QuantizeZooError
from quantize_zoo.gate import WANTED, resolve
from quantize_zoo.matrix.baselines import baselines_folder
from quantize_zoo.scoring import read_answers
from quantize_zoo.store import Baseline


def unresolved(accepted: Sequence[Baseline], reports: Path, gate: GateConfig, level: float) -> Iterator[str]:
    """Yield a line for each baseline whose samples do not show a loss of 1.5 times the margin at this level."""
    margin = gate.max_accuracy_drop / 100
    for baseline in accepted:
        try:
            answers = read_answers(baselines_folder(reports) / baseline.answers)
            found = resolve(answers["fp32"], answers["int8"], margin, level)
        except QuantizeZooError:  # what is wrong with the file is told where it is needed
            continue
        if found is None or found.suffices:
            continue
        wanted = f"; {WANTED:g} times the margin take about {found.needed}" if found.needed else ""
        yield (
            f"{cell_label(baseline.model, baseline.device)}: {found.samples} samples show losses of "
            f"{100 * found.smallest:.2g} % of {baseline.metric} and more, the margin is {100 * margin:g} %{wanted}"
        )
