"""Every path that a command takes, by the command line's own declaration, given all that is no such file or folder."""

import inspect
import os
import typing
from importlib import import_module
from pathlib import Path

import pytest
import typer

from fuzzing import World, run, violation
from quantize_zoo import cli
from spoiling import WAIVERS
from unit.test_gate_and_report import good
from unit.test_offers import store_run

STORED = ("--reports", "reports")
POT = ("pot", "-q", "default", "-m", "net.xml", "-w", "net.bin", "--output-dir", "made")
# What comes before the path, so that the command comes as far as looking at it; a new command needs a line here.
BEFORE = {
    "init": ("init",),
    "check": ("check", "net.yml", "--fast"),
    "run": ("run", "net.yml", "--reports", "results"),  # which is a file, so that nothing is run
    "report": ("report", *STORED),
    "trials": ("trials", *STORED),
    "export": ("export", "net-CPU", *STORED),
    "baseline accept": ("baseline", "accept", *STORED),
    "baseline show": ("baseline", "show", *STORED),
    "baseline drop": ("baseline", "drop", "net-CPU", *STORED),
    "baseline export": ("baseline", "export", "exported", *STORED),
    "baseline import": ("baseline", "import", "exported", *STORED),
    "waive": ("waive", "net-CPU", "size", "--until", "2999-01-01", "--reason", "x"),
    "compare": ("compare", "net.xml", "net.xml", "--model", "net.yml", *STORED),
    "bisect": ("bisect", "net-CPU", "--from", "2025.0", "--to", "2026.0", "--matrix", "matrix.yml", *STORED),
    "prune": ("prune", "--keep-nights", "1", *STORED),
    "pot": (*POT, "--ac-config", "checker.yml"),
    "worker": ("worker", "--insecure"),
}
BEFORE_ARGUMENT = {
    "baseline export": ("baseline", "export", *STORED),
    "baseline import": ("baseline", "import", *STORED),
}
BEFORE_OPTION = {
    ("run", "scheduler_file"): (*BEFORE["run"], "--executor", "dask"),
    ("pot", "config"): ("pot", "--output-dir", "made"),
    ("pot", "model"): (*POT, "--engine", "simplified", "--data-source", "images"),
    ("pot", "data_source"): (*POT, "--engine", "simplified"),
}
TLS = ("--scheduler", "tls://127.0.0.1:1")
OUTPUTS = {"reports", "output_dir"}


def declared():
    """Every parameter of every command that is a path, as (command, name, positional or option)."""
    for name in cli._COMMANDS:
        module, attribute = cli._COMMANDS[name][0].split(".")
        found = getattr(import_module(f"quantize_zoo.commands.{module}"), attribute)
        functions = (
            {f"{name} {each.name}": each.callback for each in found.registered_commands}
            if isinstance(found, typer.Typer)
            else {name: found}
        )
        for command, function in functions.items():
            hints = typing.get_type_hints(function, include_extras=True)
            for parameter in inspect.signature(function).parameters:
                kind, *details = typing.get_args(hints[parameter])
                if Path in (kind, *typing.get_args(kind)):
                    yield command, parameter, details[0]


PATHS = list(declared())


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    made = World(tmp_path_factory.mktemp("paths"))
    folder = made.folder
    store_run(folder, good(), require_targets=False)
    for command in (("accept", "--reason", "x"), ("export", "exported")):
        assert run(("baseline", *command, *STORED), folder)[0] == 0
    (folder / "gone.yml").write_text(WAIVERS)  # the stored run's matrix
    (folder / "some.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    (folder / "broken").symlink_to("nowhere")
    (folder / "loop").symlink_to("loop")
    os.mkfifo(folder / "pipe")
    return made


def before(command, name, details):
    if name.startswith("tls_"):
        files = [each for each in ("--tls-ca-file", "--tls-cert", "--tls-key") if each != f"--{name.replace('_', '-')}"]
        dask = ("--executor", "dask") if command == "run" else ()
        return (*BEFORE[command], *dask, *TLS, *(part for each in files for part in (each, "some.pem")))
    if isinstance(details, typer.models.ArgumentInfo):
        return BEFORE_ARGUMENT.get(command, tuple(command.split()))
    return BEFORE_OPTION.get((command, name), BEFORE[command])


@pytest.mark.parametrize(
    "odd",
    ["net.yml/x", "images", "images/0.png", "broken", "loop", "pipe", "/dev/zero", "/sys/x", "x" * 300, "\udcff", ""],
)
@pytest.mark.parametrize("declared", PATHS, ids=lambda each: f"{each[0]} {each[1]}")
def test_what_is_no_file_or_folder_is_told(world, declared, odd):
    command, name, details = declared
    is_output = name in OUTPUTS or (command, name) == ("baseline export", "folder")
    if odd == "images" and (is_output or name == "data_source"):
        return  # a folder is what it takes
    option = () if isinstance(details, typer.models.ArgumentInfo) else (f"--{name.replace('_', '-')}",)
    state = world.state()
    status, message, seconds, grown, problem = run((*before(command, name, details), *option, odd), world.folder)
    problem = problem or violation(status, message, seconds, grown, changed=world.state() != state)
    assert (status, problem) == (2, ""), message
    told = message.split("->")[0]
    assert ascii(odd)[1:-1][:90] in told if odd else "an argument is empty" in told, message
