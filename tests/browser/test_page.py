"""The report in a real browser: opens from a folder, shows what it should, no console error, no network."""

import shutil
from dataclasses import replace

import pytest
from playwright.sync_api import sync_playwright

from builders import cell_record, final, trial
from quantize_zoo.report import make_run_report, write_reports
from unit.test_gate_and_report import all_cells, run_record

CHROMIUM = shutil.which("chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine (apt-get install chromium)")


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    trials = [trial(number, (number % 7 - 2) / 1000, 1 + number % 11 / 10) for number in range(40)]
    best = max(trials, key=lambda each: each.score.latency_ratio)
    cells = [cell_record(trials, final(best.number, 2.0), model="tuned"), *all_cells()]
    target = tmp_path_factory.mktemp("reports") / "20260101"
    write_reports(make_run_report(run_record(*cells)), target)
    return target


@pytest.fixture(params=[(1280, 900, "light"), (390, 844, "dark")], ids=["desktop", "phone-dark"])
def page(request, browser, folder):
    width, height, scheme = request.param
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, offline=True)
    opened = context.new_page()
    opened.problems = []
    opened.on("console", lambda message: message.type in ("error", "warning") and opened.problems.append(message.text))
    opened.on("pageerror", lambda error: opened.problems.append(str(error)))
    opened.goto((folder / "index.html").as_uri())
    yield opened
    context.close()


def test_page_shows_cells_and_charts_without_errors(page):
    assert page.inner_text("h1").startswith("8 cells: 2 meet their targets")
    assert page.locator("table.cells tbody tr").count() == 8
    row = page.locator("table.cells tbody tr", has_text="tuned-CPU")
    assert "2.000 [1.990, 2.010]" in row.inner_text()
    page.wait_for_selector("#tuned-CPU .bk-Figure canvas", state="attached")
    assert page.locator("#tuned-CPU .bk-Figure").count() == 2
    assert page.locator("#net4-GPU .bk-Figure").count() == 0
    assert page.problems == []


def test_page_is_not_wider_than_the_window(page):
    page.wait_for_selector("#tuned-CPU .bk-Figure canvas", state="attached")
    widths = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert widths[0] <= widths[1]


def test_details_open_by_keyboard(page):
    details = page.locator("#tuned-CPU details").first
    details.locator("summary").focus()
    page.keyboard.press("Enter")
    assert details.evaluate("element => element.open")
    assert details.locator("tbody tr").count() == 40


def test_cell_is_reached_from_the_table(page):
    page.click("table.cells a[href='#tuned-CPU']")
    assert page.evaluate("location.hash") == "#tuned-CPU"


def test_hostile_names_run_nothing(browser, tmp_path):
    hostile = "<img src=x onerror=window.hit=1><script>window.hit=1</script>"
    cell = replace(cell_record([trial(0, 0.0, 1.5)], final(0, 1.5)), model=hostile)
    write_reports(make_run_report(run_record(cell, command=hostile)), tmp_path / "run")
    opened = browser.new_page()
    opened.goto((tmp_path / "run" / "index.html").as_uri())
    assert hostile in opened.inner_text("main")
    assert opened.evaluate("window.hit") is None


def test_policy_stops_a_script_that_got_into_the_page(browser, folder, tmp_path):
    """As if escaping had failed: neither an inline script nor a handler runs."""
    page = (folder / "index.html").read_text()
    hole = page.replace("</main>", "<script>window.hit=1</script><img src=x onerror='window.hit=1'></main>")
    (tmp_path / "index.html").write_text(hole)
    opened = browser.new_page()
    opened.goto((tmp_path / "index.html").as_uri())
    opened.wait_for_timeout(300)
    assert opened.evaluate("window.hit") is None
    (tmp_path / "index.html").write_text(hole.replace("Content-Security-Policy", "X-None"))
    opened.goto((tmp_path / "index.html").as_uri())
    opened.wait_for_timeout(300)
    assert opened.evaluate("window.hit") == 1
