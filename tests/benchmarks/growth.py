"""Print what nights, cells, trials and files cost, and by which power of their number the costs grow.

    python tests/benchmarks/growth.py [--only report] [--whole]

``--whole`` adds the sizes that take minutes and gigabytes: 1,000 nights of 500 cells. Seconds are the process's own.
"""

import argparse
import contextlib
import functools
import io
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import sqlalchemy as sa
from growing import Row, told

from builders import cell_record, final, option, reference, trial
from growing_stores import final_of, make_store, operation_names, search_trial
from quantize_zoo.engines.dask.files import CellFiles, batches
from quantize_zoo.gate import MOST_NIGHTS
from quantize_zoo.matrix import prune
from quantize_zoo.report import make_run_report, render_index, render_json, report_of, write_reports
from quantize_zoo.store import NightRecord, Store
from store_fuzzing import invoke
from unit.test_gate_and_report import run_record

_FOLDER = Path(tempfile.mkdtemp(prefix="growth-"))
_REPEATS = 3


def seconds(function, *arguments):
    """Return the least of some calls' process time: nothing makes a call faster than it is."""
    found = []
    for _ in range(_REPEATS):
        started = time.process_time()
        function(*arguments)
        found.append(time.process_time() - started)
    return min(found)


@functools.lru_cache
def stored(nights, cells, trials=3, operations=30):
    """Return the folder of reports with a store of so many nights and cells, and the last run's id."""
    folder = _FOLDER / f"{nights}-{cells}-{trials}-{operations}"
    last = make_store(url_of(folder), nights=nights, cells=cells, trials=trials, operations=operations)
    return folder, last


def url_of(folder):
    """Return the URL of a folder's store."""
    return f"sqlite:///{folder / 'store.db'}"


def bytes_of_a_trial(operations):
    """Return the bytes that a trial takes in the store, of a search in all operations."""
    folder, _ = stored(1, 1, 20, operations)
    engine = sa.create_engine(url_of(folder))
    with engine.connect() as connection:
        found = connection.scalar(sa.text("SELECT avg(length(trial)) FROM trials"))
    engine.dispose()
    return float(found)


def bytes_of_a_store(nights, cells=8):
    """Return the megabytes of a store."""
    folder, _ = stored(nights, cells)
    return (folder / "store.db").stat().st_size / 1e6


def history(nights, cells, **sizes):
    """Return the seconds that the nights of all cells take."""
    folder, last = stored(nights, cells, **sizes)
    store = Store(url_of(folder))

    def read():
        for index in range(cells):
            assert store.nights(f"model-{index:03}", "CPU", last, MOST_NIGHTS)

    return seconds(read)


def report(nights, cells):
    """Return the seconds that all reports of a run take."""
    folder, last = stored(nights, cells)
    store = Store(url_of(folder))

    def written():
        write_reports(report_of(store.load_run(last), store, folder), folder / last, newest=False)

    return seconds(written)


def trials_command(cells):
    """Return the seconds that ``quantize-zoo trials`` takes, without its imports."""
    folder, _ = stored(10, cells)

    def listed():
        with contextlib.redirect_stdout(io.StringIO()):
            status, told_, _ = invoke("trials", "--reports", str(folder))
        assert status == 0, told_

    return seconds(listed)


def start_of_a_cell(nights, cells=8):
    """Return the seconds until ``eval`` knows what it starts from, where all nights were searches that went on."""
    folder, _ = stored(nights, cells)
    store = Store(url_of(folder))

    def found():
        for each in store.searches("model-000", "CPU"):
            store.trial(each.cell_id, each.best)

    return seconds(found)


def one_trial(count):
    """Return the seconds that reading one of so many trials takes."""
    folder, _ = stored(1, 1, count, 100)
    return seconds(Store(url_of(folder)).trial, 1, count - 1)


def results(cells):
    """Return the kilobytes of ``results.json``, of cells with 20 trials of 30 operations."""
    return len(render_json(_report(cells, 20, 30))) / 1e3


def results_of_operations(operations):
    """Return the kilobytes of ``results.json``, of one cell with 60 trials."""
    return len(render_json(_report(1, 60, operations))) / 1e3


def _report(cells, trials, operations):
    rng = random.Random(0)
    found = [search_trial(number, operations, rng) for number in range(trials)]
    names = operation_names(operations)
    records = [
        cell_record(
            found, final_of(found[-1], operations, rng), model=f"model-{index}",
            sensitivity={name: rng.random() for name in names},
            reference=reference(operation_types=dict.fromkeys(names, "Convolution")),
        )
        for index in range(cells)
    ]  # fmt: skip
    return make_run_report(run_record(*records))


def overview(cells, nights=90):
    """Return the megabytes of the overview, with so many nights."""
    rng = random.Random(0)
    records = [
        cell_record([trial(0, 0.0, 1.5, option(0))], final(0, 1.5), model=f"model-{index}") for index in range(cells)
    ]
    known = {
        record.name: [NightRecord(f"night{number}", 1.0, rng.random(), rng.random() + 1) for number in range(nights)]
        for record in records
    }
    return len(render_index(make_run_report(run_record(*records), nights=known))) / 1e6


def wanted_files(count):
    """Return the seconds in which the files are found that a worker wants, all of so many."""
    path = _FOLDER / "empty"
    path.touch()
    hashes = tuple((str(path), f"{number:064x}") for number in range(count))
    files = CellFiles("key", None, hashes)
    return seconds(lambda: list(batches(files, [digest for _, digest in hashes])))


def pruning(nights, cells=8):
    """Return the seconds that taking all nights but 10 out of a store takes."""
    folder, _ = stored(nights, cells)
    copy = _FOLDER / "pruned"
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    shutil.copyfile(folder / "store.db", copy / "store.db")
    store = Store(url_of(copy))
    started = time.process_time()
    prune(store, copy, 10, keep_baselines=True)
    return time.process_time() - started


NIGHTS, CELLS, OPERATIONS = (10, 100, 1000), (8, 100, 500), (30, 150, 500)
ROWS = [
    Row("a stored trial, by operations", OPERATIONS, bytes_of_a_trial, "B"),
    Row("store, by nights of 8 cells with 3 trials", NIGHTS, bytes_of_a_store, "MB"),
    Row("nights of a report, by nights of 8 cells", NIGHTS, lambda nights: history(nights, 8), "s"),
    Row("nights of a report, by cells with 100 nights", CELLS, lambda cells: history(100, cells), "s"),
    Row("all reports of a run, by nights of 8 cells", NIGHTS, lambda nights: report(nights, 8), "s"),
    Row("all reports of a run, by cells with 10 nights", CELLS, lambda cells: report(10, cells), "s"),
    Row("quantize-zoo trials, by cells", CELLS, trials_command, "s"),
    Row("start of a cell with eval, by nights", NIGHTS, start_of_a_cell, "s"),
    Row("one trial, by trials of the cell", (20, 60, 200), one_trial, "s"),
    Row("results.json, by cells", CELLS, results, "kB"),
    Row("results.json of a cell, by operations", OPERATIONS, results_of_operations, "kB"),
    Row("overview with 90 nights, by cells", CELLS, overview, "MB"),
    Row("overview of 8 cells, by nights", (10, 90, 1000), lambda nights: overview(8, nights), "MB"),
    Row("prune, by nights of 8 cells", NIGHTS, pruning, "s"),
    Row("files that a worker wants, by files", (1000, 10_000, 50_000), wanted_files, "s"),
]
WHOLE = [
    Row(
        "nights of a report, by nights of 500 cells", (10, 100, 1000),
        lambda nights: history(nights, 500, trials=1, operations=4), "s",
    ),
]  # fmt: skip


def main():
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="rows that have this text")
    parser.add_argument("--whole", action="store_true")
    arguments = parser.parse_args()
    rows = [*ROWS, *(WHOLE if arguments.whole else [])]
    try:
        for line in told(row for row in rows if arguments.only in row.what):
            print(line, flush=True)
    finally:
        shutil.rmtree(_FOLDER)


if __name__ == "__main__":
    main()
