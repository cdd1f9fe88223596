"""The last net of the command line: whatever happens is a message and the right exit status."""

import importlib
import json
import os
import pkgutil
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import quantize_zoo as quantize_zoo_package
from clusters import COMMAND
from growing_stores import make_store
from quantize_zoo import cli
from quantize_zoo.scoring.checker_entries import DEFINITIONS_VARIABLE, PREFIX_VARIABLES
from quantize_zoo.text.given import VARIABLES
from unit.test_gate_and_report import good
from unit.test_offers import store_run

SCRIPT = [str(Path(sys.executable).with_name("quantize-zoo"))]


@pytest.fixture
def doctor_that(tmp_path):
    """The command ``doctor`` in which looking at the environment does something else."""

    def run(does):
        (tmp_path / "shim.py").write_text(
            "from quantize_zoo import scoring\n"
            f"def describe_environment():\n    {does}\n"
            "scoring.describe_environment = describe_environment\n"
            "from quantize_zoo.cli import main\n"
            "main()\n"
        )
        return subprocess.run(
            [sys.executable, tmp_path / "shim.py", "doctor"], capture_output=True, text=True, check=False
        )

    return run


def test_what_a_library_warns_of_is_a_line_without_its_path(doctor_that):
    done = doctor_that("import sys, warnings; warnings.warn('what a library says'); sys.exit(1)")
    assert "warning: what a library says\n" in done.stderr
    assert "shim.py" not in done.stderr


@pytest.mark.parametrize(
    ("does", "told"),
    [
        ("raise ValueError('first line\\nwhat it was')", "ValueError: what it was"),
        ("assert False", "AssertionError"),
        ("sys.exit(1)", "SystemExit: 1"),
        ("raise EOFError", "EOFError"),
        ("raise OSError(5, 'no such thing')", "OSError: [Errno 5] no such thing"),
    ],
)
def test_an_internal_error_is_one_line_and_a_file_with_the_traceback(does, told, doctor_that):
    done = doctor_that(f"import sys; {does}")
    assert done.returncode == 70
    lines = [line for line in done.stderr.splitlines() if line]
    (path,) = re.findall(rf"^error: unexpected {re.escape(told)}; the traceback is in (/.*\.log)$", "\n".join(lines))
    assert len(lines) == 1
    log = Path(path)
    assert "describe_environment" in log.read_text()
    log.unlink()


@pytest.mark.parametrize(
    ("does", "status", "told"),
    [
        ("raise OSError(28, 'No space left on device', '/x/y')", 3, r"/x/y: No space left .*\n  -> free disk space"),
        ("raise PermissionError(13, 'Permission denied', '/x')", 2, r"/x: Permission denied\n  -> let the file"),
        ("open('/sys/class/x', 'w')", 2, r"/sys/class/x: .*\n  -> let the file"),
        ("held = [open('/dev/null') for _ in range(10**7)]", 3, r"/dev/null: Too many open files\n  -> allow more"),
        ("raise MemoryError", 3, r"there is not enough memory\n  -> free memory"),
    ],
)
def test_what_the_system_refuses_is_no_fault_of_this_program(does, status, told, doctor_that):
    done = doctor_that(does)
    assert (done.returncode, bool(re.match(f"error: {told}", done.stderr))) == (status, True), done.stderr


def test_a_traceback_that_cannot_be_kept_is_not_shown(doctor_that):
    done = doctor_that("import tempfile; tempfile.tempdir = '/nowhere'; raise ValueError('x')")
    assert done.returncode == 70
    assert done.stderr.splitlines() == ["error: unexpected ValueError: x; the traceback could not be written to a file"]


NAMELESS = """
import os, pwd, sys

def unknown(*_):
    raise KeyError("getpwuid(): uid not found: 4242")

pwd.getpwuid = unknown
for name in ("HOME", "USER", "LOGNAME", "USERNAME", "LNAME"):
    os.environ.pop(name, None)
from quantize_zoo.cli import main
main()
"""


def test_a_user_without_a_name_and_a_home_is_one_all_the_same(tmp_path):
    store_run(tmp_path, good(), require_targets=False)
    for command in (["accept"], ["show", "--json"]):
        arguments = ["baseline", *command, "--reports", tmp_path / "reports"]
        done = subprocess.run([sys.executable, "-c", NAMELESS, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[0]["accepted_by"] == str(os.getuid())


def test_a_library_that_cannot_be_loaded_is_no_regression(tmp_path):
    (tmp_path / "typer.py").write_text("raise ImportError('libfoo.so: cannot open shared object file')")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    done = subprocess.run([*COMMAND, "doctor"], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 70
    assert "error: quantize-zoo cannot be loaded: ImportError: libfoo.so" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_long_and_hostile_value_on_the_command_line_is_cut_and_written_out(quantize_zoo):
    status, out, err = quantize_zoo("run", "--seed", "\x1b[31m" + "x" * 5000)
    assert (status, out) == (2, "")
    assert len(err) < 1000
    assert "\x1b" not in err


def test_a_reader_that_goes_is_no_regression(doctor_that):
    done = doctor_that("raise BrokenPipeError(32, 'Broken pipe')")
    assert done.returncode == 128 + signal.SIGPIPE
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", [COMMAND, SCRIPT], ids=["module", "script"])
def test_both_ways_to_the_command_know_bad_usage(command):
    done = subprocess.run([*command, "run", "--seed", "-1"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--seed" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "--seed", "-1"), ("run", "--seed", 10**20), ("run", "--seed", 2**31), ("pot", "x.json", "--seed", "-1"),
        ("pot", "x.json", "--seed", 10**20), ("run", "--max-trials", "0"), ("run", "--max-trials", 10**20),
        ("run", "--max-minutes", "0"), ("run", "--max-minutes", "inf"), ("run", "--max-minutes", "nan"),
        ("run", "--max-minutes=-inf"), ("run", "--workers", "0"), ("run", "--workers", 10**9),
        ("run", "--cache-mb", "-1"), ("run", "--cache-mb", 10**20), ("export", "net", "--trial", "-1"),
        ("export", "net", "--trial", 10**20),
    ],
    ids=lambda arguments: " ".join(map(str, arguments)),
)  # fmt: skip
def test_a_number_out_of_its_range_is_refused_at_the_start(arguments, quantize_zoo):
    status, out, err = quantize_zoo(*arguments)
    assert (status, out) == (2, "")
    assert "Invalid value" in err
    assert "Traceback" not in err


def test_help_says_what_the_program_is_for(quantize_zoo):
    _, out, _ = quantize_zoo("--help")
    assert "Tune, score and report INT8 models of a whole zoo with OpenVINO." in out
    names = ["doctor", "init", "check", "run", "report", "trials", "export", "baseline", "waive"]
    names += ["compare", "bisect", "pot", "worker"]
    places = [re.search(rf"^\W*{name} ", out, flags=re.MULTILINE).start() for name in names]
    assert places == sorted(places)


@pytest.mark.parametrize("arguments", [["check", b"net\xff.yml"], ["run", "--reports", b"\xe9"], ["init", b"\x80"]])
def test_an_argument_that_is_not_utf8_is_refused(quantize_zoo, tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    status, _, err = quantize_zoo(*map(os.fsdecode, arguments))
    assert status == 2
    assert re.search(r"^error: argument: '.*\\udc.*' is not UTF-8\n  -> rename it", err)
    assert not list(tmp_path.iterdir())


def test_a_working_folder_or_variable_that_is_not_utf8_is_refused(quantize_zoo, tmp_path, monkeypatch):
    monkeypatch.setenv("QUANTIZE_ZOO_STORE", os.fsdecode(b"sqlite:///\xff.db"))
    status, _, err = quantize_zoo("report")
    assert (status, "QUANTIZE_ZOO_STORE: 'sqlite" in err) == (2, True)
    folder = tmp_path / os.fsdecode(b"\xff")
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("QUANTIZE_ZOO_STORE")
    status, _, err = quantize_zoo("check")
    assert (status, "working folder: '" in err) == (2, True)


def test_a_working_folder_that_is_gone_is_told(quantize_zoo, tmp_path, monkeypatch):
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    status, _, err = quantize_zoo("check")
    assert (status, "the working folder cannot be found" in err) == (2, True)


@pytest.mark.parametrize("device", ["CPPU", "cpu", "AUTO:CPU,NOPE", "HETERO:CPU,", "", "@x", "MULTI:CPU,CPU", "BATCH"])
def test_a_mistyped_device_is_no_device_that_is_absent(quantize_zoo, tmp_path, device):
    status, _, err = quantize_zoo("run", "--devices", device, "--reports", tmp_path / "reports")
    assert status == 2
    assert re.search(f"--devices: (OpenVINO has no device|device '{device}' lists)", err)
    assert not (tmp_path / "reports").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "x" * 300],
        ["check", "--definitions", "x" * 300],
        ["init", "x" * 300],
        ["run", "x" * 300],
        ["pot", "x" * 300],
        ["report", "--reports", "x" * 300],
        ["trials", "--reports", "x" * 300],
        ["waive", "x", "size", "--until", "2999-01-01", "--reason", "x", "--matrix", "x" * 300],
        ["compare", "x" * 300, "y", "--baseline-python", "x" * 300],
        ["baseline", "show", "--reports", "x" * 300],
        ["bisect", "x", "--matrix", "x" * 300],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_path_that_no_file_system_takes_is_no_file(quantize_zoo, tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    status, _, err = quantize_zoo(*arguments)
    assert status == 2, err
    assert "unexpected" not in err
    assert not list(tmp_path.iterdir())


HEAVY = {
    "bokeh", "scipy.stats", "hyperopt", "ruptures", "alembic", "sqlalchemy", "openvino", "numpy", "cv2", "PIL", "nncf",
    "ruamel.yaml", "jinja2", "distributed", "quantize_zoo.config", "quantize_zoo.store",
}  # fmt: skip
OF_WORK = {
    "openvino",
    "bokeh",
    "scipy.stats",
    "hyperopt",
    "ruptures",
    "alembic",
    "cv2",
    "PIL",
    "cpuinfo",
    "distributed",
}


def loaded(*arguments):
    """The modules that the command imports."""
    command = [sys.executable, "-X", "importtime", "-m", "quantize_zoo", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return set(re.findall(r"^import time:[\s\d|]+\| +([\w.]+)$", done.stderr, re.MULTILINE))


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["rnu"],
        ["--no-such-option"],
        *([command, "--help"] for command in cli._COMMANDS),
        ["baseline", "accept", "--help"],
        ["report", "--no-such-option"],
        ["run", "--max-trials", "many"],
    ],
    ids=" ".join,
)
def test_help_and_usage_errors_wait_for_nothing(arguments):
    found = loaded(*arguments)
    assert "quantize_zoo.cli" in found
    assert not found & HEAVY


def test_a_mistyped_command_is_told_with_the_nearest_one():
    done = subprocess.run([*COMMAND, "rnu"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Did you mean 'run'" in done.stderr


@pytest.mark.parametrize("command", [["report"], ["report", "--json"], ["trials"], ["trials", "--json"]], ids=" ".join)
def test_commands_that_read_the_store_load_nothing_of_what_cells_work_with(command, tmp_path, monkeypatch):
    make_store(f"sqlite:///{tmp_path / 'store.db'}", nights=2, cells=1)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    if command[0] == "report":
        loaded("report", "--reports", ".")  # Bokeh draws once, and what it drew is kept
    found = loaded(*command, "--reports", ".")
    assert "quantize_zoo.store.store" in found
    assert not found & OF_WORK


def test_a_list_of_trials_waits_for_none_of_the_records_that_a_report_needs(tmp_path):
    make_store(f"sqlite:///{tmp_path / 'store.db'}", nights=1, cells=1)
    found = loaded("trials", "--reports", str(tmp_path))
    records = {f"quantize_zoo.store.{each}" for each in ("records", "values", "options")}
    assert "quantize_zoo.store.listing" in found
    assert not found & (records | {"numpy", "scipy", "ruamel.yaml", "jinja2", "rich.table"})


def packages():
    """The packages that import what they export when it is asked for."""
    root = Path(quantize_zoo_package.__file__).parent
    return sorted(each.parent.name for each in root.glob("*/__init__.py") if "exports_of" in each.read_text("utf-8"))


@pytest.mark.parametrize("package", packages())
def test_packages_have_all_that_they_export(package):
    found = importlib.import_module(f"quantize_zoo.{package}")
    assert all(hasattr(found, name) for name in found.__all__)
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = found.no_such_name


@pytest.mark.parametrize("package", packages())
def test_no_export_is_hidden_by_a_module_of_its_name(package):
    found = importlib.import_module(f"quantize_zoo.{package}")
    modules = {each.name for each in pkgutil.iter_modules(found.__path__)}
    assert not modules & set(found.__all__)


@pytest.mark.parametrize("name", cli._COMMANDS)
def test_list_of_commands_says_what_each_commands_own_help_does(name):
    own = cli._loaded(name).help
    assert own.replace("\n", " ").startswith(cli._COMMANDS[name][1].rstrip("."))


def test_variables_that_name_files_are_all_looked_at():
    assert {DEFINITIONS_VARIABLE, *PREFIX_VARIABLES.values()} < set(VARIABLES)


def test_output_that_cannot_be_written_is_told_once():
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*SCRIPT, "--help"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr.splitlines()[0]) == (3, "error: No space left on device")
    assert len(done.stderr.splitlines()) == 2


def test_output_is_written_out_where_the_terminal_has_no_such_characters(tmp_path):
    reports = store_run(tmp_path, good(), require_targets=False)
    ascii_only = {**os.environ, "PYTHONIOENCODING": "ascii"}
    for command in (["accept"], ["export", "né"]):
        done = subprocess.run(
            [*SCRIPT, "baseline", *command, "--reports", reports], cwd=tmp_path, env=ascii_only, capture_output=True,
            text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    assert done.stdout == "1 exported to n\\xe9\n"


def test_what_native_code_prints_is_no_result():
    """HiGHS prints a line of its own now and then, through C's buffer, which is written out when the process ends."""
    code = (
        "import ctypes, os; from quantize_zoo import cli\n"
        "def status():\n"
        "    ctypes.CDLL(None).printf(b'from C\\n'); os.write(1, b'from a library\\n')\n"
        "    os.system('echo from a child')\n"
        "    print('{}'); return 0\n"
        "cli._status = status; cli.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "{}\n")
    assert all(f"from {each}" in done.stderr for each in ("C", "a library", "a child"))
