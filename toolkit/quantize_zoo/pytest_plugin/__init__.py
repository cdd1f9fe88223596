"""Pytest as a door: ``pytest --quantize-zoo MATRIX`` gives one test for each cell and check.

The tests are those of ``checks.py``; tests of one's own take the fixture ``quantize_zoo_cell``, and run once a cell. A
cell is run when its first test is; all cells that are run share the gate's level, as in a night. What regressed is
tested first, so that ``-x`` meets it. Under pytest-xdist a cell is run by the worker that comes to it first, and cells
take turns, since latency needs a quiet machine.

The checks are of no file of the user's: their node ids begin with ``quantize-zoo::``, and run again when given so.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from quantize_zoo.config import MatrixConfig
    from quantize_zoo.report import CellReport

_FIXTURE = "quantize_zoo_cell"
_CHECKS = Path(__file__).with_name("checks.py")
_NODE = "quantize-zoo"  # what node ids of the checks begin with, in place of a path
_FIRST = "test_baseline"
NOTE = "quantize-zoo"  # the property of a test that passes and has something to tell
_BESIDE: pytest.StashKey[dict[str, int]] = pytest.StashKey()
_MATRIX: pytest.StashKey[MatrixConfig] = pytest.StashKey()
_DONE: pytest.StashKey[dict[str, CellReport]] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("quantize-zoo", "accuracy and latency of quantized models")
    group.addoption("--quantize-zoo", metavar="MATRIX", help="run a matrix, or one model's YAML, as tests")
    group.addoption("--quantize-zoo-max-trials", type=int, metavar="N", help="trials a cell")
    group.addoption("--quantize-zoo-reports", default="reports", metavar="DIR", help="folder for the reports")


def pytest_configure(config: pytest.Config) -> None:
    """Load the matrix, and run its checks: alone, unless the command line names other tests too.

    Whoever names single tests, as ``path::test``, runs only these.
    """
    config.addinivalue_line("markers", "quantize_zoo: a test of a cell of the matrix")
    given = config.getoption("--quantize-zoo")
    if given is None:
        return
    from quantize_zoo.cell.inspection import require_entries
    from quantize_zoo.config import load_matrix
    from quantize_zoo.errors import ConfigurationError
    from quantize_zoo.scoring import require_properties
    from quantize_zoo.zoo import complete_matrix

    try:
        matrix = load_matrix(Path(given))
        require_properties(matrix)
        matrix = complete_matrix(matrix)
        require_entries(matrix.models)
    except ConfigurationError as error:
        raise pytest.UsageError(str(error)) from error
    trials = config.getoption("--quantize-zoo-max-trials")
    config.stash[_MATRIX] = matrix.with_optimizer({"max_trials": trials} if trials else {})
    named = config.args if config.args_source is pytest.Config.ArgsSource.ARGS else []
    named = [_file_of(argument) for argument in named]
    single = any("::" in argument for argument in named)
    config.args = named if single or str(_CHECKS) in named else [*named, str(_CHECKS)]


def _file_of(argument: str) -> str:
    """Return an argument with the checks' file in place of what their node ids begin with."""
    return f"{_CHECKS}{argument.removeprefix(_NODE)}" if argument.startswith(f"{_NODE}::") else argument


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """Give the checks node ids of their own: their file is outside of the user's folders and has no name there."""
    if module_path != _CHECKS:
        return None
    module: pytest.Module = pytest.Module.from_parent(parent, path=module_path, nodeid=_NODE)
    return module


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Test all cells against their baselines before anything else of them: what was found is kept for that.

    A size is tested where it is a target.
    """
    items[:] = [item for item in items if item.path != _CHECKS or _is_wanted(item)]
    checks = [item for item in items if item.path == _CHECKS]
    ordered = iter(sorted(checks, key=lambda item: not item.name.startswith(_FIRST)))
    items[:] = [next(ordered) if item.path == _CHECKS else item for item in items]


def _is_wanted(check: pytest.Item) -> bool:
    call = getattr(check, "callspec", None)
    if call is None or getattr(check, "originalname", "") != "test_size":
        return True
    return call.params[_FIXTURE].model.optimizer.params.size_reduce is not None


def pytest_collection_finish(session: pytest.Session) -> None:
    """Remember which cells are run, since they share the level of a night."""
    calls = (getattr(item, "callspec", None) for item in session.items)
    cells = (call.params[_FIXTURE] for call in calls if call is not None and _FIXTURE in call.params)
    session.config.stash[_BESIDE] = {cell.key.label: cell.counts_as for cell in cells}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell what tests that passed have to tell, such as a target that is missed and not required."""
    passed = terminalreporter.stats.get("passed", [])
    notes = [f"{report.nodeid}: {text}" for report in passed for name, text in report.user_properties if name == NOTE]
    if notes:
        terminalreporter.section("quantize-zoo: passed, and to be told")
        for note in notes:
            terminalreporter.line(note)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that takes the fixture once for each cell."""
    if _FIXTURE not in metafunc.fixturenames:
        return
    from quantize_zoo.matrix import expand

    matrix = metafunc.config.stash.get(_MATRIX, None)
    cells = [] if matrix is None else expand(matrix)
    marked = [pytest.param(cell, id=cell.key.label, marks=pytest.mark.quantize_zoo) for cell in cells]
    metafunc.parametrize(_FIXTURE, marked, indirect=True, scope="session")


@pytest.fixture(scope="session")
def quantize_zoo_cell(request: pytest.FixtureRequest) -> CellReport:
    """A cell of the matrix, run: its trials, its best model and its verdicts (``quantize_zoo.report.CellReport``)."""
    cell, config = request.param, request.config
    # Pytest makes a fixture anew whenever a test of another cell came in between.
    done = config.stash.setdefault(_DONE, {})
    if cell.key.label in done:
        return done[cell.key.label]
    matrix = config.stash[_MATRIX].select([cell.model.name], [])
    matrix = matrix.model_copy(update={"devices": (cell.target.model_copy(update={"models": ()}),)})
    reports = Path(config.getoption("--quantize-zoo-reports"))
    done[cell.key.label] = _run(matrix, reports, f"pytest --quantize-zoo {matrix.source}", config.stash[_BESIDE])
    return done[cell.key.label]


def _run(matrix: MatrixConfig, reports: Path, command: str, beside: dict[str, int]) -> CellReport:
    from quantize_zoo.engines import LocalEngine
    from quantize_zoo.errors import ConfigurationError
    from quantize_zoo.matrix import expand, run_in
    from quantize_zoo.progress import Silent
    from quantize_zoo.report import report_of, write_reports
    from quantize_zoo.store import Store

    (cell,) = expand(matrix)
    session = os.environ.get("PYTEST_XDIST_TESTRUNUID", "")
    try:
        reports.mkdir(parents=True, exist_ok=True)
        with _alone(reports / ".pytest.lock"):
            store = Store(f"sqlite:///{reports / 'store.db'}")
            ran = reports / f".pytest-{session}" / cell.key.slug
            if session and ran.is_file():
                return report_of(store.load_run(ran.read_text()), store, reports).cells[0]
            executor = LocalEngine(reports / "statistics", reports / "inputs")
            record = run_in(reports, matrix, executor, store, Silent(), command, 0, beside)
            report = report_of(record, store, reports)
            report = write_reports(report, reports / report.run.id, newest=report.newest)
            if session:
                ran.parent.mkdir(exist_ok=True)
                ran.write_text(report.run.id)
    except (ConfigurationError, OSError) as error:
        pytest.fail(str(error), pytrace=False)
    return report.cells[0]


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Wait until no other worker of this run measures."""
    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
