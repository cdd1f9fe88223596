"""Baselines are accepted, exported and imported whole, or refused and nothing is touched."""

import json
import os
import re
import shutil
import sqlite3
from contextlib import closing

import pytest

from quantize_zoo.matrix import baselines
from quantize_zoo.store import database
from spoiling import FILES
from stores import with_packing
from unit.test_gate_and_report import good
from unit.test_offers import store_run

EMPTY_IR = '<?xml version="1.0"?>\n<net name="x" version="11"></net>'


def everything(folder):
    """All files and links below a folder, without SQLite's log."""
    return {
        str(path.relative_to(folder)): path.readlink() if path.is_symlink() else path.read_bytes()
        for path in folder.rglob("*")
        if (path.is_symlink() or path.is_file()) and path.suffix not in (".db-wal", ".db-shm")
    }


@pytest.fixture
def baseline(quantize_zoo):
    def invoke(*arguments):
        return quantize_zoo("baseline", *arguments)

    return invoke


@pytest.fixture
def reports(tmp_path):
    """A run with a finished cell."""
    return store_run(tmp_path, good(), require_targets=False)


@pytest.fixture
def exported(tmp_path, baseline, reports):
    """A folder of one exported baseline."""
    folder = tmp_path / "exported"
    assert baseline("accept", "--reports", reports)[0] == 0
    assert baseline("export", folder, "--reports", reports)[0] == 0
    return folder


def refused(baseline, untouched, *arguments, status=2, told=""):
    before = everything(untouched)
    found, out, err = baseline(*arguments)
    assert found == status, err
    assert out == ""
    assert told in err
    assert "Traceback" not in err
    assert len(err.splitlines()) == 2
    assert everything(untouched) == before


# Accepting


@pytest.mark.parametrize("name", ["net.xml", "net.npz"])
def test_what_was_edited_after_the_run_is_not_accepted(reports, baseline, tmp_path, name):
    with (reports / "run" / "models" / name).open("ab") as stream:
        stream.write(b" ")
    refused(baseline, tmp_path, "accept", "--reports", reports, told=f"{name} is not the file of the run any more")
    assert not (reports / "baselines").exists()


def test_a_model_that_was_edited_after_the_run_is_not_exported(reports, quantize_zoo, tmp_path, monkeypatch):
    with (reports / "run" / "models" / "net.xml").open("ab") as stream:
        stream.write(b" ")
    for name, content in {**FILES, "gone.yml": FILES["waivers.yml"], "net.xml": EMPTY_IR}.items():
        (tmp_path / name).write_text(content)
    monkeypatch.chdir(tmp_path)
    status, _, err = quantize_zoo("export", "net-CPU", "--reports", reports, "--output-dir", tmp_path / "out")
    assert (status, (tmp_path / "out").exists()) == (2, False)
    assert "net.xml is not the file of the run any more" in err


def test_a_run_whose_matrix_was_moved_is_not_exported(reports, quantize_zoo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, _, err = quantize_zoo("export", "net-CPU", "--reports", reports, "--output-dir", tmp_path / "out")
    assert (status, (tmp_path / "out").exists()) == (2, False)
    assert "the matrix that the run run was made of is not there: gone.yml" in err


def test_files_of_a_run_without_hashes_are_accepted_and_that_is_told(reports, baseline):
    without_hashes(reports)
    status, _, err = baseline("accept", "--reports", reports)
    assert status == 0
    assert re.search(r"^net-CPU: its files are taken as they are: \S+ stored no hashes of them$", err, re.MULTILINE)


def without_hashes(reports):
    """Leave out what release 0.1.0 did not store."""
    with closing(with_packing(sqlite3.connect(reports / "store.db"))) as store, store:
        store.execute("UPDATE cells SET final = pack(json_remove(unpack(final), '$.model_hash', '$.answers_hash'))")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x93NUMPY", None])
def test_answers_that_cannot_be_read_are_not_accepted_either_where_no_hash_is_known(
    reports, baseline, tmp_path, content
):
    without_hashes(reports)
    path = reports / "run" / "models" / "net.npz"
    path.write_bytes(path.read_bytes()[:-30] if content is None else content)
    refused(baseline, tmp_path, "accept", "--reports", reports, told="net.npz is not the file of the run any more")


def test_where_the_store_is_locked_no_file_is_left(reports, baseline, tmp_path, monkeypatch):
    monkeypatch.setattr(database, "_BUSY_TIMEOUT_SECONDS", 0)
    with closing(sqlite3.connect(reports / "store.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        refused(baseline, tmp_path, "accept", "--reports", reports, status=3, told="wait until no other program")
    assert not (reports / "baselines").exists()


def test_of_several_cells_all_are_accepted_or_none(tmp_path, baseline, reports):
    with closing(with_packing(sqlite3.connect(reports / "store.db"))) as store, store:
        columns = [name for _, name, *_ in store.execute("PRAGMA table_info(cells)")]
        changes = {
            "id": "99",
            "model": "'other'",
            "final": "pack(json_set(unpack(final), '$.model', 'models/gone.xml'))",
        }
        values = ", ".join(changes.get(name, f'"{name}"') for name in columns)
        store.execute(f"INSERT INTO cells SELECT {values} FROM cells WHERE id = 1")
        store.execute("INSERT INTO trials SELECT id + 100, 99, number, trial FROM trials WHERE cell_id = 1")
    refused(baseline, tmp_path, "accept", "--reports", reports, told="gone.xml is not there")
    assert not (reports / "baselines").exists()


def test_a_user_without_a_name_accepts_by_number(reports, baseline, monkeypatch):
    def nobody():
        raise KeyError("getpwuid(): uid not found: 4242")

    monkeypatch.setattr(baselines.getpass, "getuser", nobody)
    assert baseline("accept", "--reports", reports)[0] == 0
    _, out, _ = baseline("show", "--json", "--reports", reports)
    assert json.loads(out)[0]["accepted_by"] == str(os.getuid())


# Exporting


def test_a_damaged_baseline_is_not_exported(tmp_path, baseline, reports):
    assert baseline("accept", "--reports", reports)[0] == 0
    (path,) = (reports / "baselines").glob("*/content.npz")
    path.write_bytes(b"")
    refused(baseline, tmp_path, "export", tmp_path / "x", "--reports", reports, told="is missing or damaged")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("name", ["../../../etc/hostname", "/etc/hostname", "store.db", "x"])
def test_names_of_a_hostile_store_lead_nowhere(tmp_path, baseline, reports, name):
    assert baseline("accept", "--reports", reports)[0] == 0
    with closing(with_packing(sqlite3.connect(reports / "store.db"))) as store, store:
        store.execute("UPDATE baselines SET content = pack(json_set(unpack(content), '$.fp32', ?))", (name,))
    refused(baseline, tmp_path, "export", tmp_path / "x", "--reports", reports, told="is missing or damaged")


# Importing


def spoil(folder, way):
    index = folder / "baselines.json"
    (entry,) = json.loads(index.read_text())
    model = folder / entry["int8"]
    match way:
        case "flipped byte":
            model.write_bytes(model.read_bytes()[:-1] + b"L")
        case "truncated answers":
            path = folder / entry["answers"]
            path.write_bytes(path.read_bytes()[:-30])
        case "missing file":
            (folder / entry["answers"]).unlink()
        case "linked file":
            kept = folder.parent / "kept.xml"
            shutil.move(model, kept)
            model.symlink_to(kept)
        case "linked folder":
            shutil.move(model.parent, folder.parent / "kept")
            model.parent.symlink_to(folder.parent / "kept")
        case "linked weights":
            model.with_suffix(".bin").symlink_to("/etc/hostname")
        case "out of the folder":
            index.write_text(json.dumps([{**entry, "int8": "../" * 20 + "etc/hostname"}]))
        case "no name by content":
            (folder / "net.xml").write_text("x")
            index.write_text(json.dumps([{**entry, "int8": "net.xml"}]))
        case "no field":
            del entry["reference"]["metric"]
            index.write_text(json.dumps([entry]))
        case "unknown field":
            index.write_text(json.dumps([{**entry, "colour": "red"}]))
        case "no number":
            entry["reference"]["accuracy"]["value"] = 1e999
            index.write_text(json.dumps([entry]))
        case "deep":
            index.write_text("[" * 100_000)
        case "no index":
            index.unlink()
        case "binary":
            index.write_bytes(bytes(range(256)))


@pytest.mark.parametrize(
    ("way", "told"),
    [
        ("flipped byte", "is missing or damaged"), ("truncated answers", "is missing or damaged"),
        ("missing file", "is missing or damaged"), ("linked file", "is missing or damaged"),
        ("linked folder", "is missing or damaged"), ("linked weights", "is missing or damaged"),
        ("out of the folder", "is missing or damaged"), ("no name by content", "is missing or damaged"),
        ("no field", "baselines.json[0].reference.metric: field required"),
        ("unknown field", "baselines.json[0].colour: unexpected keyword argument"),
        ("no number", "reference.accuracy.value"), ("deep", "baselines.json"), ("no index", "No such file"),
        ("binary", "baselines.json"),
    ],
)  # fmt: skip
def test_a_damaged_folder_is_refused_and_nothing_is_made(exported, baseline, tmp_path, way, told):
    spoil(exported, way)
    refused(baseline, tmp_path, "import", exported, "--reports", tmp_path / "new", told=told)
    assert not (tmp_path / "new").exists()


def test_only_what_an_entry_names_is_imported(exported, baseline, tmp_path):
    (entry,) = json.loads((exported / "baselines.json").read_text())
    (exported / entry["int8"]).with_name("neighbour.txt").write_text("x")
    (exported / "other").mkdir()
    (exported / "other" / "content.xml").write_text("x")
    assert baseline("import", exported, "--reports", tmp_path / "new")[0] == 0
    found = {path for path in everything(tmp_path / "new") if path.startswith("baselines/")}
    assert found == {f"baselines/{entry[name]}" for name in ("fp32", "int8", "answers")}


def test_where_the_store_cannot_be_made_nothing_is_imported(exported, baseline, tmp_path):
    (tmp_path / "file").write_text("")
    store = f"sqlite:///{tmp_path}/file/store.db"
    refused(baseline, tmp_path, "import", exported, "--reports", tmp_path / "new", "--store", store, told="cannot use")
    assert not (tmp_path / "new").exists()
