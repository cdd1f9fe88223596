"""The command ``quantize-zoo``, put together, and the last net: however it ends, that is a message and a status."""

from __future__ import annotations

import io
import os
import signal
import sys
from contextlib import suppress
from importlib import import_module
from typing import Any, cast

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from quantize_zoo import errors, interrupts
from quantize_zoo.commands.lines import plain_warnings, tell
from quantize_zoo.errors import ConfigurationError, QuantizeZooError
from quantize_zoo.text.given import give_home, require_texts
from quantize_zoo.text.tracebacks import INTERNAL_ERROR, keep_traceback

BAD_USAGE = 2
CELL_FAILED = 3
_STANDARD_OUTPUT = 1  # the file descriptor, not a status
# In the order in which they are used: the function behind each, and what its help begins with.
_COMMANDS = {
    "doctor": ("machine.doctor", "Tell what this machine has, and how to get what is missing."),
    "init": ("models.init", "Write a model's YAML to start from, by looking at the model."),
    "check": ("models.check", "Validate a matrix and all that it names, or an accuracy-check.yml, without running."),
    "run": ("running.run", "Tune, score and report every cell of a matrix."),
    "report": ("stored.report", "Render a stored run again."),
    "trials": ("stored.trials", "List the stored trials of a run's cells."),
    "export": ("stored.export", "Write the best model of a cell, or any trial's, as IR."),
    "baseline": ("baselines.app", "What later runs are held against."),
    "waive": ("waiving.waive", "Write a waiver into a matrix: a known regression is no alarm until a date."),
    "compare": ("stored.compare", "Compare two model files, or the best models of two runs, side by side."),
    "bisect": ("bisecting.bisect", "Find the release or the commit that a regression came with."),
    "prune": ("pruning.prune", "Remove old runs with their reports, and what only they needed."),
    "pot": ("pot.pot", "Run a configuration of POT, or POT's command line, as it is."),
    "worker": ("running.worker", "Be a worker of a Dask cluster that runs cells."),
}
# Typer has click inside and exports of its errors only this one.
_UsageError = cast("type[Exception]", typer.BadParameter.__base__)


class _Commands(TyperGroup):
    """Imports a command when it is called: all of them take seconds, which help and mistyped names do without."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = {name: TyperCommand(name, help=line) for name, (_, line) in _COMMANDS.items()}

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that is called."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command and _loaded(cast("str", name)), rest


def _loaded(name: str) -> Any:
    module, function = _COMMANDS[name][0].split(".")
    found = getattr(import_module(f"quantize_zoo.commands.{module}"), function)
    if isinstance(found, typer.Typer):
        return get_command(found)
    alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    alone.command(name)(found)
    return get_command(alone)


app = typer.Typer(
    cls=_Commands,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Tune, score and report INT8 models of a whole zoo with OpenVINO.\n\n"
    "Start with 'quantize-zoo doctor', then 'quantize-zoo run'.",
)


@app.callback()
def _group() -> None:
    """Typer makes a group of what has a callback."""


def main() -> None:
    """Run the command and exit."""
    _keep_output()
    try:
        with interrupts.raised():
            status = _written_out(_status())
    except KeyboardInterrupt:
        status = interrupts.tell(interrupts.asked() or signal.SIGINT)
    # A stored run that was interrupted has that status, too, without any signal to this command.
    if number := interrupts.asked():
        status = interrupts.tell(number)
    sys.exit(status)


def _keep_output() -> None:
    """Leave standard output to what is printed here, as ``--json`` is read by programs.

    Native libraries print there as well, HiGHS a line of its own now and then, and so does what is started by this
    process: all that goes to standard error.
    """
    out, errors_out = sys.stdout, sys.__stderr__
    if not isinstance(out, io.TextIOWrapper):  # closed, or somebody's who calls this in his own process
        return
    out.reconfigure(errors="backslashreplace")  # standard error writes out what it cannot encode
    with suppress(OSError):  # no file is behind one of them
        if errors_out is not None and out.fileno() == _STANDARD_OUTPUT:
            own = os.dup(_STANDARD_OUTPUT)
            os.dup2(errors_out.fileno(), _STANDARD_OUTPUT)
            sys.stdout = io.TextIOWrapper(
                os.fdopen(own, "wb"), out.encoding, out.errors, None, out.line_buffering, out.write_through
            )


def _status() -> int:
    """Run the command; an error is a message and an exit status."""
    try:
        require_texts()
        give_home()
        with plain_warnings():
            return app(standalone_mode=False) or 0
    except QuantizeZooError as error:
        return _failed(error)
    except _UsageError as error:
        problem, used = _told(error)
        if problem:  # without arguments there is none, and the help was printed
            tell(f"error: {errors.bad_usage(problem, used)}")
        return BAD_USAGE
    except (Exception, SystemExit) as error:  # a library's SystemExit(1) is no regression either
        if isinstance(error, SystemExit) and isinstance(error.__context__, BrokenPipeError):
            return 128 + signal.SIGPIPE  # nobody reads on, as below | head
        refused = errors.refused_by_system(error)
        if refused is not None:
            return _failed(refused)
        if interrupts.asked() is None:
            cause = error.__cause__ if isinstance(error, typer.Abort) else error  # so Typer tells an EOFError
            tell(f"error: {errors.internal_error(cause or error, keep_traceback(error))}")
        return INTERNAL_ERROR


def _written_out(status: int) -> int:
    """Write out what was printed and return the status; where that fails it is told, and not by Python at its end."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            return 128 + signal.SIGPIPE
        refused = errors.refused_by_system(error)
        if status in (0, 1) and refused is not None:
            return _failed(refused)
    return status


def _failed(error: QuantizeZooError) -> int:
    tell(f"error: {error}")
    return BAD_USAGE if isinstance(error, ConfigurationError) else CELL_FAILED


def _told(error: Exception) -> tuple[str, str]:
    """Return what click says is wrong with the command line, and the command whose help tells how it is used."""
    usage = cast("Any", error)
    return usage.format_message(), usage.ctx.command_path if usage.ctx else "quantize-zoo"
