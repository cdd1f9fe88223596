"""Stores that are damaged, locked, another's or not there: one message that says what to do, and nothing is changed."""

import sqlite3
from contextlib import closing

import pytest

from quantize_zoo.errors import ConfigurationError
from quantize_zoo.store import Store, database
from stores import with_packing
from unit.test_gate_and_report import good
from unit.test_offers import store_run


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and "-" not in path.suffix}


@pytest.fixture
def reports(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return store_run(tmp_path, good(), require_targets=False)


@pytest.fixture
def change(reports):
    """Execute a statement on the store."""

    def execute(*statement):
        with closing(with_packing(sqlite3.connect(reports / "store.db"))) as store, store:
            store.execute(*statement)

    return execute


@pytest.fixture
def refused(quantize_zoo, tmp_path):
    """See that a command refuses its input as it has to."""

    def see(*arguments, told=()):
        before = files(tmp_path)
        status, out, err = quantize_zoo(*arguments)
        assert (status, out) == (2, ""), err
        for each in told:
            assert each in err
        assert len(err.splitlines()) == 2
        assert "free disk space" not in err
        assert err.isprintable() or err.replace("\n", "").isprintable()
        assert files(tmp_path) == before
        return err

    return see


def edited(column, change):
    """The statement that changes a packed value's JSON."""
    table, name = column.split(".")
    return f"UPDATE {table} SET {name} = pack({change.replace('{}', f'unpack({name})')})"


@pytest.mark.parametrize("command", [("trials", "--json"), ("baseline", "accept")])
@pytest.mark.parametrize(
    ("statement", "told"),
    [
        (
            edited("trials.trial", "replace({}, '\"accuracy\":', '\"accurbcy\":')"),
            "trial 0.measurement.accuracy: ",
        ),
        (edited("trials.trial", "replace({}, '{', '[')"), "a value is no JSON"),
        ("UPDATE trials SET trial = unpack(trial)", "a value is not packed JSON but a str"),
        ("UPDATE trials SET trial = 7", "a value is not packed JSON but a int"),
        ("UPDATE trials SET trial = X'02aa'", "a value is packed in a way that is not known"),
        ("UPDATE trials SET trial = substr(trial, 1, length(trial) - 9)", "a value is not whole"),
        (edited("trials.trial", "json_set({}, '$.option.operations[0]', 99)"), "there is no 99 of"),
        (edited("trials.trial", "json_remove({}, '$.option.operations[0]')"), "the base has 4"),
        (edited("trials.trial", "json_set({}, '$.option.choices[0][1]', -1)"), "there is no -1 of"),
        (edited("trials.trial", "json_remove({}, '$.option')"), "trial 0.option: "),
        ("UPDATE cells SET base_id = NULL", "the option that it is stored against is not there"),
        ("DELETE FROM contents", "content 1 is not there"),
        ("UPDATE contents SET content = pack('[]')", "cell 1.reference: "),
        ("UPDATE trials SET trial = pack('[1]')", "trial 0: input should be a valid dictionary"),
        (
            edited("cells.final", "json_set({}, '$.colour', 1)"),
            "cell 1.final.colour: unexpected keyword",
        ),
        (
            edited("cells.final", "json_set({}, '$.trial', 77)"),
            "cell 1.final.trial: there is no trial 77",
        ),
        (
            edited("cells.final", "json_set({}, '$.model', '../../x.xml')"),
            "leads out of the run's folder",
        ),
        (
            edited("cells.final", "json_set({}, '$.answers', '/etc/passwd')"),
            "leads out of the run's folder",
        ),
        (edited("cells.params", "json_set({}, '$.max_trials', 'x')"), "cell 1.params.max_trials: "),
        ("UPDATE cells SET status = 'asleep'", "cell 1.status: "),
        ("UPDATE cells SET continues = 1", "cell 1 goes on from cell 1"),
        ("UPDATE cells SET continues = 99", "cell 1 goes on from cell 99, which is not there"),
        ("UPDATE cells SET sensitivity_id = base_id", "cell 1.sensitivity.tensors: "),
        ("UPDATE runs SET started_at = '2024-02-31 00:00:00'", "cannot read the store"),
        ("UPDATE runs SET started_at = 7", "cannot read the store"),
        ("UPDATE runs SET seed = 'x'", "run run.seed: "),
        ("UPDATE runs SET matrix = CAST(X'fffe' AS TEXT)", "cannot read the store"),
        ("UPDATE runs SET plan = '{\"cells\": 5}'", "run run.plan.cells: "),
    ],
)
def test_a_damaged_value_is_named(refused, change, command, statement, told):
    change(statement)
    err = refused(*command, told=["cannot read the store sqlite:///reports/store.db: ", told])
    assert "restore a copy, or name another with --store" in err


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        (edited("trials.trial", "replace({}, '\"accuracy\":', '\"accurbcy\":')"), "trial 0.measurement.accuracy: "),
        (
            edited("trials.trial", "json_set({}, '$.measurement.accuracy.high', 'x')"),
            "trial 0.measurement.accuracy.high: ",
        ),
        (edited("trials.trial", "json_remove({}, '$.measurement.latency')"), "trial 0.measurement.latency: "),
        (edited("trials.trial", "json_remove({}, '$.failure')"), "trial 0.failure: "),
        ("UPDATE trials SET trial = pack('[1]')", "trial 0: input should be a valid dictionary"),
        ("UPDATE trials SET trial = substr(trial, 1, length(trial) - 9)", "a value is not whole"),
        ("UPDATE trials SET number = 'x' WHERE number = 0", "trial x.number: "),
        ("UPDATE cells SET continues = 1", "cell 1 goes on from cell 1"),
        ("UPDATE cells SET continues = 99", "cell 1 goes on from cell 99, which is not there"),
    ],
)
def test_a_damaged_value_that_a_list_of_trials_shows_is_named(refused, change, statement, told):
    change(statement)
    refused("trials", told=["cannot read the store sqlite:///reports/store.db: ", told])


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("INSERT INTO alembic_version VALUES ('0001')", "more than one head"),
        ("UPDATE alembic_version SET version_num = '9999'", "schema 9999"),
        ("DROP TABLE runs", "is"),
        ("DROP TABLE alembic_version", "another program"),
    ],
)
def test_a_damaged_schema_is_told(refused, change, statement, told):
    change("UPDATE runs SET process = NULL")
    change(statement)
    refused("report", told=["store", told])


@pytest.mark.parametrize("name", ["../../x", "/tmp/x", "a/b", "", "x\ny", "a|b<script>", "\x1b[31m"])
def test_a_run_whose_name_is_no_name_of_a_folder_is_not_reported(refused, change, reports, name):
    change("UPDATE cells SET run_id = ?", (name,))
    change("UPDATE runs SET id = ?", (name,))
    refused("report", told=["it is no name of a folder"])


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:////nope/x.db", "sqlite:///nope/x.db", "sqlite:///nope/deep/x.db", "sqlite://", "sqlite:///:memory:",
        "sqlite:///" + "x" * 300, "sqlite:///a\x00b", "sqlite:///reports", "sqlite:///reports/store.db/x", "nonsense",
        "postgresql://host:notaport/db", "postgresql+psycopg://zoo:s3cret@127.0.0.1:1/zoo?connect_timeout=abc",
        "mongodb://zoo:s3cret@host/db", "sqlite:///reports/store.db?timeout=abc", "sqlite:///x\x1b[31m",
        "postgresql+psycopg://127.0.0.1:1/zoo?password=s3cret", "host=x password=s3cret",
        "postgresql+psycopg://zoo:s3cret@127.0.0.1:99999/zoo", "sqlite:///file:nope.db?uri=true&mode=ro",
    ],
)  # fmt: skip
def test_a_url_without_a_store_is_told_and_nothing_is_made(refused, reports, url):
    err = refused("report", f"--store={url}", told=["--store: "])
    assert "s3cret@" not in err
    assert "password=s3cret" not in err


@pytest.mark.parametrize("command", [("report",), ("run", "none.yml"), ("baseline", "import", "none")])
def test_folders_are_not_made_for_what_is_refused(refused, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    refused(*command, "--reports", "a/b")
    assert list(tmp_path.iterdir()) == []


def test_the_database_of_another_program_stays_as_it_is(refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with closing(sqlite3.connect("songs.db")) as other:
        other.execute("CREATE TABLE songs (title TEXT)")
    refused("report", "--store", "sqlite:///songs.db", told=["another program"])
    assert list(tmp_path.iterdir()) == [tmp_path / "songs.db"]


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\x00", b"not a database at all" * 100])
def test_what_is_no_database_stays_as_it_is(refused, tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.db").write_bytes(content)
    refused("report", "--store", "sqlite:///x.db", told=["x.db"])


def test_where_a_store_cannot_be_made_no_folder_is_left(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot use the store"):
        Store(f"sqlite:///{tmp_path}/a/b/{'x' * 300}")
    with pytest.raises(ConfigurationError, match="cannot use the store"):
        Store(f"sqlite:///{tmp_path}/a/b/c.db?timeout=abc")
    assert list(tmp_path.iterdir()) == []


def test_a_locked_store_says_to_wait(refused, change, reports, monkeypatch):
    monkeypatch.setattr(database, "_BUSY_TIMEOUT_SECONDS", 0)
    change("UPDATE runs SET status = 'running', process = NULL")  # opening it would mark the run as interrupted
    with closing(sqlite3.connect(reports / "store.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        refused("report", told=["database is locked", "wait until no other program holds it"])


def test_a_damaged_baseline_is_named(refused, quantize_zoo, change):
    assert quantize_zoo("baseline", "accept")[0] == 0
    change(edited("baselines.content", "json_remove({}, '$.metric')"))
    for command in ("show", "accept"):
        refused("baseline", command, told=["baseline 1.metric: field required"])
