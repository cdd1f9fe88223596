"""Inputs that somebody got wrong, of every kind of configuration, and what must hold whatever they are.

A folder has one good file of every kind. An attempt spoils one, runs the command that reads it in this process, and
puts the folder back. Commands that would go on to work are given a file as their folder for results, so that they end
where they would begin to write.
"""

import contextlib
import io
import os
import random
import re
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import typer
from PIL import Image

from builders import model, parameter
from quantize_zoo import cli
from quantize_zoo.config import load_pot_compression
from quantize_zoo.engines import ClusterOptions, find_scheduler
from quantize_zoo.errors import ConfigurationError, QuantizeZooError
from quantize_zoo.graph import save_model
from quantize_zoo.graph.opset import opset13 as ops
from spoiling import FILES, VALUES, mutate

SECONDS = 5
LINES = 20
BYTES = 1_000_000_000
STATUSES = (0, 2, 3)

_APP = typer.main.get_command(cli.app)  # put together once, and not for every input
_RUN = ("run", "net.yml", "--reports", "results")
_WAIVED = ("--until", "2999-01-01", "--reason", "x")
COMMANDS = (
    ("check", "{}"), ("check", "net.yml", "--definitions", "{}"), ("check", "--{}"), ("{}",), ("init", "{}"),
    ("pot", "{}", "--output-dir", "results"), ("pot", "pot.json", "--output-dir", "results", "--name", "{}"),
    (*_RUN, "--models", "{}"), (*_RUN, "--devices", "{}"), (*_RUN, "--max-trials", "{}"), (*_RUN, "--seed", "{}"),
    (*_RUN, "--max-minutes", "{}"), (*_RUN, "--trials-load-method", "{}"), (*_RUN, "--executor", "{}"),
    (*_RUN, "--workers", "{}"), (*_RUN, "--cache-mb", "{}"), (*_RUN, "--definitions", "{}"),
    ("run", "{}", "--reports", "results"), ("waive", "{}", "latency", *_WAIVED, "--matrix", "matrix.yml"),
    ("waive", "net-CPU", "size", *_WAIVED, "--matrix", "{}"),
    ("waive", "net-CPU", "{}", *_WAIVED, "--matrix", "waivers.yml"),
    ("waive", "net-CPU", "latency", "--until", "{}", "--reason", "x", "--matrix", "waivers.yml"),
    ("waive", "net-CPU", "size", "--until", "2999-01-01", "--reason", "{}", "--matrix", "waivers.yml"),
    ("compare", "{}", "net.xml", "--model", "none.yml"), ("compare", "none.xml", "net.xml", "--model", "{}"),
    ("compare", "{}", "latest"), ("report", "{}"), ("trials", "{}"), ("export", "{}"),
    ("export", "net-CPU", "--trial", "{}"), ("baseline", "show", "--json", "{}"),
    ("baseline", "accept", "--cells", "{}"), ("baseline", "import", "{}"), ("baseline", "drop", "{}"),
    ("bisect", "{}", "--from", "2025.0", "--to", "2026.0"), ("bisect", "net-CPU", "--from", "{}", "--to", "2026.0"),
)  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """A kind of input: the file that is spoiled, and what reads it; without a file the arguments are."""

    file: str = ""
    command: tuple[str, ...] = ()
    read: Callable[[Path], object] | None = None


@dataclass(frozen=True)
class Attempt:
    """What came of one input; without ``problem`` it was taken, or refused as it should be."""

    kind: str
    status: int | None
    problem: str
    seconds: float
    text: str
    message: str

    @property
    def verdict(self):
        if self.problem:
            return self.problem.partition(":")[0]
        # What would have run is stopped by its folder for results, which is a file.
        return "taken" if self.status == 0 or re.search("cannot write.* to results", self.message) else "clean"


def _with_tls(path):
    return ClusterOptions("tls://127.0.0.1:8786", None, None, path, path, path)


KINDS = {
    "matrix": Kind("matrix.yml", ("check", "--fast", "matrix.yml")),
    "model": Kind("net.yml", ("check", "--fast", "net.yml")),
    "hardware": Kind("hardware.yml", ("check", "--fast", "net.yml")),
    "waivers": Kind("waivers.yml", ("check", "--fast", "waivers.yml")),
    "waiving": Kind(
        "waivers.yml",
        ("waive", "net-CPU", "size", "--until", "2999-01-01", "--reason", "x", "--matrix", "waivers.yml"),
    ),
    "checker": Kind("checker.yml", ("check", "--fast", "net.yml")),
    "checker with data": Kind("checker.yml", ("check", "net.yml")),
    "checker alone": Kind("checker.yml", ("check", "checker.yml", "--definitions", "definitions.yml")),
    "definitions": Kind("definitions.yml", ("check", "--fast", "net.yml")),
    "POT": Kind("pot.json", ("pot", "pot.json", "--output-dir", "results")),
    "POT's compression": Kind("quantization.yml", read=load_pot_compression),
    "scheduler's file": Kind(
        "scheduler.json", read=lambda path: find_scheduler(ClusterOptions(scheduler_file=path, insecure=True))
    ),
    "scheduler's address": Kind(read=lambda text: find_scheduler(ClusterOptions(scheduler=text, insecure=True))),
    "TLS files": Kind(read=lambda text: find_scheduler(_with_tls(Path(text)))),
    "command line": Kind(),
}


class HangError(BaseException):
    """It takes too long; nothing that is meant for exceptions takes this."""


class World:
    """A folder with a good file of every kind, which is the working directory while a command runs."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.reset()
        run(("check", "net.yml"), folder)  # so that no attempt waits until the checker is imported

    def reset(self):
        for each in self.folder.iterdir():
            shutil.rmtree(each) if each.is_dir() and not each.is_symlink() else each.unlink()
        for name, content in FILES.items():
            (self.folder / name).write_text(content)
        (self.folder / "python").chmod(0o755)
        (self.folder / "images").mkdir()
        image = parameter((1, 3, 8, 8), "x")
        weights = ops.constant([[1.0] * 192] * 10, dtype="float32")
        flat = ops.reshape(image, ops.constant([1, 192], dtype="int64"), special_zero=False)
        flat.set_friendly_name("flat")
        Image.new("RGB", (8, 8)).save(self.folder / "images" / "0.png")
        save_model(model(ops.matmul(flat, weights, False, True), image), self.folder / "net.xml")

    def state(self):
        """What there is: every file's size and when it was written."""
        return {
            str(path.relative_to(self.folder)): (path.lstat().st_size, path.lstat().st_mtime_ns)
            for path in self.folder.rglob("*")
            if not path.is_dir()
        }

    def attempt(self, name, rng, text=None):
        """Spoil an input of a kind, and see what comes of it."""
        kind = KINDS[name]
        original = FILES.get(kind.file, "")
        if text is None:
            text = mutate(original, rng) if kind.file else rng.choice(VALUES)
        if kind.file:
            (self.folder / kind.file).write_text(text, encoding="utf-8", errors="surrogatepass")
        else:
            text = text.replace("\0", "")[:100_000]  # no argument has a NUL, or is much longer
        arguments = kind.command
        if name == "command line":
            arguments = tuple(each.replace("{}", text) for each in rng.choice(COMMANDS))
        given = self.folder / kind.file if kind.file else text
        before = self.state()
        ended = run(arguments, self.folder) if kind.read is None else call(kind.read, given, self.folder)
        status, message, seconds, grown, problem = ended
        changed = self.state() != before
        problem = problem or violation(status, message, seconds, grown, changed=changed)
        if changed:
            self.reset()
        elif kind.file:
            (self.folder / kind.file).write_text(original)
        shown = text if kind.file or kind.read else repr(arguments)
        return Attempt(name, status, problem, seconds, shown, message)


def violation(status, message, seconds, grown, *, changed):
    """Return what must not be, told in a word and more; empty if all is well."""
    if status not in STATUSES:
        return f"traceback: exit status {status}"
    if "Traceback" in message or "validation error for" in message:
        return "traceback: shown"
    if status and len(message.splitlines()) > LINES:
        return f"long: {len(message.splitlines())} lines"
    if status and not message.strip():
        return "silent: no message"
    if seconds > SECONDS:
        return f"hang: {seconds:.1f} s"
    if grown > BYTES:
        return f"memory: {grown / 1e9:.1f} GB"
    if status == 2 and changed:
        return "written: a file is new or changed"
    return ""


def run(arguments, folder):
    """Run the command in this process; see ``call``."""

    def command(_):
        with patch.object(sys, "argv", ["quantize-zoo", *arguments]), patch.object(cli, "app", _APP):
            try:
                cli.main()
            except SystemExit as ended:
                return ended.code or 0

    return call(command, None, folder)


def call(function, given, folder):
    """Call a function that ends by a status, or by an error that has one.

    Returns status, message, seconds, bytes of memory that it took more than anything before, and what went wrong.
    """
    out, before, start, here = io.StringIO(), peak(), time.perf_counter(), Path.cwd()
    status, problem = None, ""
    os.chdir(folder)
    old = signal.signal(signal.SIGALRM, _too_long)
    signal.setitimer(signal.ITIMER_REAL, SECONDS + 1)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            status = function(given)
            status = status if isinstance(status, int) else 0
    except QuantizeZooError as error:
        out.write(f"error: {error}")
        status = 2 if isinstance(error, ConfigurationError) else 3
    except HangError:
        problem = f"hang: more than {SECONDS} s"
    except Exception as error:
        problem = f"traceback: {type(error).__name__}: {error}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
        os.chdir(here)
    return status, out.getvalue(), time.perf_counter() - start, peak() - before, problem


def peak():
    """Bytes of memory that this process had at most."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _too_long(*_):
    raise HangError


def attempts(folder, seed, numbers, kinds=tuple(KINDS)):
    """Yield an attempt for each number, which says of what kind it is, and with the seed how the input is spoiled."""
    world = World(folder)
    for number in numbers:
        yield world.attempt(kinds[number % len(kinds)], random.Random(f"{seed} {number}"))
