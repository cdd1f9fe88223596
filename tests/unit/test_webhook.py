"""A webhook is told of a run; what it says or does not say changes nothing, and nobody learns its address."""

import json
import threading
from pathlib import Path

import pytest

from builders import accepted
from quantize_zoo.config import Notify, load_matrix
from quantize_zoo.errors import ConfigurationError
from quantize_zoo.report import make_run_report
from quantize_zoo.report.webhook import address_problem, tell_webhook
from unit.test_gate_and_report import good, run_record
from unit.test_groups import MANY, failed
from unit.test_verdict import PASS, SLOWER, held
from webhooks import SECRET, webhook

VARIABLE = "QUANTIZE_ZOO_WEBHOOK"
PAGE = Path("reports/20260101/index.html")


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch):
    """Not on GitHub, and not behind a proxy."""
    for name in ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)


def notify(form="json"):
    return Notify(url=f"${{{VARIABLE}}}", format=form)


def regressed():
    return make_run_report(run_record(held(PASS, SLOWER), failed(1)), [accepted(good())])


def test_json_has_answer_counts_causes_and_the_report(monkeypatch):
    with webhook() as (address, received):
        monkeypatch.setenv(VARIABLE, address)
        assert tell_webhook(notify(), regressed(), PAGE) == ""
    ((path, headers, body),) = received
    told = json.loads(body)
    assert path == f"/hooks/{SECRET}"
    assert headers["Content-Type"] == "application/json"
    assert (told["run"], told["status"], told["exit_status"]) == ("20260101", "finished", 1)
    assert told["answer"].startswith("1 regressed, 1 failed: 1 of 2 cells compared")
    assert told["counts"] == {"regressed": 1, "failed": 1}
    (worse,) = told["regressed"]
    assert (worse["cell"], worse["cause"]) == ("net-CPU", "quantization")
    assert worse["reason"].startswith("6.1 % slower")
    assert [finding["alarm"] for finding in told["findings"]] == ["regression", "failure"]
    assert told["report"] == {"path": str(PAGE.absolute()), "url": None}


def test_slack_has_a_text_with_one_line_for_each_cause(monkeypatch):
    monkeypatch.setenv("GITHUB_SERVER_URL", "https://github.com")
    monkeypatch.setenv("GITHUB_REPOSITORY", "me/zoo")
    monkeypatch.setenv("GITHUB_RUN_ID", "7")
    with webhook() as (address, received):
        monkeypatch.setenv(VARIABLE, address)
        report = make_run_report(run_record(held(SLOWER), *map(failed, range(MANY))), [accepted(good())])
        assert tell_webhook(notify("slack"), report, PAGE) == ""
    told = json.loads(received[0][2])
    assert told.keys() == {"text"}
    first, regression, failure, last = told["text"].splitlines()
    assert first.startswith("*quantize-zoo: 1 regressed, 150 failed: 1 of 151 cells compared")
    assert regression.startswith("\u2022 regression (quantization): net-CPU: 6.1 % slower")
    assert failure.startswith(
        "\u2022 failure (data): 150 cells (net0-CPU, net1-CPU, net2-CPU and 147 more): the dataset"
    )
    assert "&lt;model&gt;" in failure
    assert last == "<https://github.com/me/zoo/actions/runs/7|report of run 20260101>"


@pytest.mark.parametrize(("status", "text"), [(403, "it answered 403"), (500, "answered 500"), (302, "answered 302")])
def test_a_refusal_is_told_without_the_address(monkeypatch, status, text):
    with webhook(status) as (address, received):
        monkeypatch.setenv(VARIABLE, address)
        problem = tell_webhook(notify(), regressed(), PAGE)
    assert text in problem
    assert SECRET not in problem
    assert len(received) == 1, "no redirection is followed"


def test_a_webhook_that_does_not_answer_is_not_waited_for(monkeypatch):
    answer = threading.Event()
    with webhook(delay=answer) as (address, _):
        monkeypatch.setenv(VARIABLE, address)
        problem = tell_webhook(notify(), regressed(), PAGE, timeout=0.2)
        answer.set()
    assert problem == "it did not answer within 0.2 s"


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (None, f"the environment variable {VARIABLE} is not set"),
        ("", f"the environment variable {VARIABLE} is not set"),
        (f"file:///etc/{SECRET}", "has no http or https address"),
        (f"http://[{SECRET}", "has no http or https address"),
        (f"http://127.0.0.1:{SECRET}/x", "it cannot be reached"),
        (f"http://127.0.0.1/{SECRET} and\tmore", "it cannot be reached"),
        (f"http://127.0.0.1:1/{SECRET}", "it cannot be reached: Connection refused"),
        (f"http://{SECRET}.invalid/", "it cannot be reached"),
    ],
)
def test_what_is_no_address_or_leads_nowhere_is_told_without_it(monkeypatch, address, text):
    monkeypatch.delenv(VARIABLE, raising=False)
    if address is not None:
        monkeypatch.setenv(VARIABLE, address)
    problem = tell_webhook(notify(), regressed(), PAGE)
    assert text in problem
    assert SECRET not in problem
    assert (address_problem(notify()) == "") == ("reached" in text)


@pytest.mark.parametrize(
    "written", ["{{url: 'http://host/{0}'}}", "http://host/{0}", "{{url: '${{A}}', format: 'http://{0}'}}"]
)
def test_an_address_in_the_matrix_is_refused_and_not_shown(tmp_path, zoo, written):
    path = tmp_path / "matrix.yml"
    model = zoo / "embedded" / "digits-resnet.yml"
    path.write_text(f"models: [{model}]\ndevices: [CPU]\nnotify: {written.format(SECRET)}\n")
    with pytest.raises(ConfigurationError) as refused:
        load_matrix(path)
    assert "matrix.yml:3: notify" in str(refused.value)
    assert SECRET not in str(refused.value)


def test_the_matrix_names_the_variable(tmp_path, zoo):
    path = tmp_path / "matrix.yml"
    model = zoo / "embedded" / "digits-resnet.yml"
    path.write_text(f"models: [{model}]\ndevices: [CPU]\nnotify:\n  url: ${{MY_HOOK}}\n  format: slack\n")
    assert load_matrix(path).notify == Notify(url="${MY_HOOK}", format="slack")
    assert load_matrix(path).notify.variable == "MY_HOOK"
