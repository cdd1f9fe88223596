"""Progress of a run on standard error: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.measure import Measurement
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from quantize_zoo.cell import Cell
from quantize_zoo.config import search_stages
from quantize_zoo.errors import DeviceUnavailableError, QuantizeZooError
from quantize_zoo.gate import GateResult
from quantize_zoo.search import Trial
from quantize_zoo.store import Reference
from quantize_zoo.text.counts import counted
from quantize_zoo.text.shown import shown, shown_lines

_UNBOUND = 10_000  # columns, more than any terminal's


class ConsoleProgress:
    """Implements ``RunObserver``; a context manager around the run.

    Args:
        console: to print to.
        link: an address to show beside the progress; none if empty.

    """

    def __init__(self, console: Console, link: str = "") -> None:
        self._console = console
        self._link = link
        self._live = _WholeProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[best]}"),
            TimeRemainingColumn(),
            *([TextColumn(f"[link={link}]{escape(link)}[/link]")] if link else []),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._running: dict[str, tuple[float, TaskID]] = {}  # by cell, which may be several at once

    def __enter__(self) -> ConsoleProgress:
        if self._link and self._live.disable:
            self._console.print(f"dashboard: {self._link}", markup=False, highlight=False, soft_wrap=True)
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def cell_started(self, cell: Cell, position: int, total: int, left: float | None) -> None:
        """See ``RunObserver``."""
        task = self._live.add_task(escape(shown(cell.key.label)), total=_trials(cell), best="")
        self._running[cell.key.label] = time.monotonic(), task
        still = "" if left is None else f", about {max(1, round(left / 60))} min left"
        self._console.print(Text(f"[{position + 1}/{total}] {shown(cell.key.label)}{still}"), soft_wrap=True)

    def reference_scored(self, cell: Cell, reference: Reference) -> None:
        """See ``RunObserver``."""
        accuracy, ran_in = reference.accuracy.value, reference.execution.inference_precision
        self._print(cell, f"FP32 {reference.metric} {accuracy:.4f} ({ran_in}), {counted(reference.samples, 'sample')}")
        self.noticed(cell, reference.notes)

    def noticed(self, cell: Cell, notes: Sequence[str]) -> None:
        """See ``RunObserver``."""
        for note in notes:
            self._print(cell, f"note: {note}")

    def trial_finished(self, cell: Cell, trial: Trial, best: Trial | None) -> None:
        """See ``RunObserver``."""
        started, task = self._running[cell.key.label]
        minutes = (time.monotonic() - started) / 60
        most = _trials(cell)
        # A baseline's configuration is tried beside the one that is evaluated.
        of_all = "" if most is None or trial.number >= most else f" ({trial.number + 1}/{most})"
        count = f"trial {trial.number}{of_all}"
        best_text = f"best {_figures(best)}" if best else "none yet"
        current = trial.failure or _figures(trial)
        if self._live.disable:
            self._print(cell, f"{count}: {current}, {best_text}, {minutes:.1f} min")
        else:
            self._live.update(task, completed=trial.number + 1, best=escape(best_text))

    def step_started(self, cell: Cell, step: str) -> None:
        """See ``RunObserver``."""
        self._print(cell, step)

    def gate_finished(self, cell: Cell, result: GateResult) -> None:
        """See ``RunObserver``."""
        self._print(cell, f"gate: {result.status}")
        for check in result.checks:
            if check.status not in ("pass", "not compared"):
                status = f"{check.status}, waived" if check.waived else check.status
                why = f"; {check.why}" if check.why else ""
                self._print(cell, f"{check.cause} {check.quantity}: {status}: {check.subject}: {check.text}{why}")

    def cell_finished(self, cell: Cell, error: QuantizeZooError | None) -> None:
        """See ``RunObserver``."""
        if isinstance(error, DeviceUnavailableError):
            self._print(cell, f"unavailable: {error.what}")
        elif error is not None:
            self._print(cell, f"failed: {error}")
        self._live.remove_task(self._running.pop(cell.key.label)[1])

    def _print(self, cell: Cell, text: str) -> None:
        """Print below the cell's line; with its name where several are running."""
        name = f"{cell.key.label}: " if len(self._running) > 1 else ""
        self._console.print(Text(f"  {shown_lines(f'{name}{text}')}"), soft_wrap=True)


class _WholeProgress(Progress):
    """Progress whose names and figures are whole on narrow terminals, too: there they take lines, and the bar goes."""

    def get_renderables(self) -> Iterable[RenderableType]:
        """Yield the table of tasks, or what of it stands in lines that the terminal is wide enough for."""
        table = self.make_tasks_table(self.tasks)
        if not self.tasks or _natural_width(self.console, table) <= self.console.width:
            yield table
            return
        columns = [
            each for each in self.columns if isinstance(each, ProgressColumn) and not isinstance(each, BarColumn)
        ]
        for task in self.tasks:
            yield Text("\n".join(_lines([str(each(task)) for each in columns], self.console.width)), overflow="fold")


def _natural_width(console: Console, table: RenderableType) -> int:
    return Measurement.get(console, console.options.update(max_width=_UNBOUND), table).maximum


def _lines(parts: Sequence[str], width: int) -> list[str]:
    """Return parts in as few lines as they take, each of them whole, unless it alone is wider."""
    lines = [""]
    for part in filter(None, parts):
        longer = f"{lines[-1]} {part}".lstrip()
        if cell_len(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(part)
    return [line for line in lines if line]


class Silent:
    """Implements ``RunObserver``: another program tells what happens."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return _nothing


def _nothing(*_: object) -> None:
    """Tell nobody."""


def _trials(cell: Cell) -> int | None:
    """Return how many trials the cell's search has at most; None where it ends when its target is met."""
    if cell.model.give_back is not None:
        return None
    if cell.model.optimizer.params.trials_load_method == "eval":
        return 1
    return search_stages(cell.model)[-1].until


def _figures(trial: Trial) -> str:
    if trial.pruned is not None:
        lost = 100 * trial.pruned.accuracy_loss
        count = trial.pruned.accuracy.samples or "all"  # of what single samples do not have
        where = f" on {trial.members[-1].name}" if trial.members else ""
        return f"ended{where} after {count} samples, which lose {lost:.2f} %"
    if trial.score is None:
        return "failed"
    ratio = trial.score.latency_ratio
    speed = "latency not measured" if ratio is None else f"{ratio:.2f}x"
    slower = f", slower than FP32 on {', '.join(trial.score.slower)}" if trial.score.slower else ""
    return f"loss {100 * trial.score.accuracy_loss:.2f} %, {speed}{slower}"
