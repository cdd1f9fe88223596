"""The command ``quantize-zoo``, put together, and the last net: however it ends, that is a message and a status."""

from __future__ import annotations

import signal
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any, cast

import typer
from typer.core import TyperGroup
from typer.rich_utils import rich_format_error

from quantize_zoo import errors, interrupts
from quantize_zoo.commands import baselines, bisecting, machine, models, pot, running, stored, waiving
from quantize_zoo.commands.output import tell
from quantize_zoo.errors import ConfigurationError, QuantizeZooError

BAD_USAGE = 2
CELL_FAILED = 3
INTERNAL_ERROR = 70  # EX_SOFTWARE of sysexits.h
_IN_ORDER = [
    "doctor", "init", "check", "run", "report", "trials", "export", "baseline", "waive", "compare", "bisect", "pot",
    "worker",
]  # fmt: skip
# Typer has click inside and exports of its errors only this one.
_UsageError = cast("type[Exception]", typer.BadParameter.__base__)


class _InOrder(TyperGroup):
    """Lists the commands in the order in which they are used; Typer puts groups at the end."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names."""
        return sorted(super().list_commands(ctx), key=_IN_ORDER.index)


app = typer.Typer(
    cls=_InOrder,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Tune, score and report INT8 models of a whole zoo with OpenVINO.\n\n"
    "Start with 'quantize-zoo doctor', then 'quantize-zoo run'.",
)
baseline = typer.Typer(no_args_is_help=True, help="What later runs are held against.")

app.command()(machine.doctor)
app.command()(models.init)
app.command()(models.check)
app.command()(running.run)
app.command()(stored.report)
app.command()(stored.trials)
app.command()(stored.export)
app.command()(stored.compare)
app.command()(bisecting.bisect)
app.command()(pot.pot)
app.command()(waiving.waive)
app.command()(running.worker)
app.add_typer(baseline, name="baseline")
baseline.command("accept")(baselines.accept)
baseline.command("show")(baselines.show_baselines)
baseline.command("drop")(baselines.drop)
baseline.command("export")(baselines.export_to)
baseline.command("import")(baselines.import_from)


def main() -> None:
    """Run the command and exit."""
    try:
        with interrupts.raised():
            status = _status()
    except KeyboardInterrupt:
        status = interrupts.tell(interrupts.asked() or signal.SIGINT)
    # A stored run that was interrupted has that status, too, without any signal to this command.
    if number := interrupts.asked():
        status = interrupts.tell(number)
    sys.exit(status)


def _status() -> int:
    """Run the command; an error is a message and an exit status."""
    try:
        return app(standalone_mode=False) or 0
    except QuantizeZooError as error:
        tell(f"error: {error}")
        return BAD_USAGE if isinstance(error, ConfigurationError) else CELL_FAILED
    except _UsageError as error:
        rich_format_error(cast("Any", error))
        return BAD_USAGE
    except (Exception, SystemExit) as error:  # a library's SystemExit(1) is no regression either
        if isinstance(error, SystemExit) and isinstance(error.__context__, BrokenPipeError):
            return 128 + signal.SIGPIPE  # nobody reads on, as below | head
        if interrupts.asked() is None:
            cause = error.__cause__ if isinstance(error, typer.Abort) else error  # so Typer tells an EOFError
            tell(f"error: {errors.internal_error(cause or error, _traceback_file(error))}")
        return INTERNAL_ERROR


def _traceback_file(error: BaseException) -> Path:
    """Write the traceback into a file of the temporary folder."""
    with tempfile.NamedTemporaryFile("w", prefix="quantize-zoo-", suffix=".log", delete=False) as stream:
        traceback.print_exception(error, file=stream)
    return Path(stream.name)
