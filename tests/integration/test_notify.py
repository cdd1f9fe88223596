"""The command tells a webhook at the end of a run, with an exit status that does not depend on it."""

import json

import pytest

from webhooks import SECRET, webhook


@pytest.fixture
def matrix(small, monkeypatch):
    """A matrix whose only cell is unavailable on a machine without a GPU."""
    small.edit("matrix.yml", lambda matrix: matrix.update(devices=["GPU"], notify={"url": "${ZOO_HOOK}"}))
    monkeypatch.delenv("http_proxy", raising=False)
    return small


@pytest.mark.parametrize(("status", "warning"), [(200, ""), (500, "warning: notify: it answered 500")])
def test_a_run_tells_the_webhook_and_keeps_its_status(quantize_zoo, matrix, monkeypatch, status, warning):
    with webhook(status) as (address, received):
        monkeypatch.setenv("ZOO_HOOK", address)
        done, out, err = quantize_zoo("run", matrix.path, "--reports", matrix.reports, "--json")
    ((_, _, body),) = received
    told, run = json.loads(body), json.loads(out)
    assert done == run["exit_status"] == told["exit_status"]
    assert told["run"] == run["run"]["id"]
    assert told["report"]["path"] == str(matrix.reports / run["run"]["id"] / "index.html")
    assert warning in err
    assert ("warning" in err) == bool(warning)
    assert SECRET not in out + err
    assert not [path for path in matrix.reports.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]


def test_a_variable_that_is_not_set_is_told_before_the_run_and_after(quantize_zoo, matrix, monkeypatch):
    monkeypatch.delenv("ZOO_HOOK", raising=False)
    done, _, err = quantize_zoo("run", matrix.path, "--reports", matrix.reports)
    assert done == 0
    assert err.count("warning: notify: the environment variable ZOO_HOOK is not set") == 2
