"""The report in a real browser: opens from a folder, shows what it should, no console error, no network."""

import shutil
from dataclasses import replace

import pytest
from playwright.sync_api import sync_playwright

from builders import cell_record, final, trial
from quantize_zoo.report import make_run_report, render_index, write_reports
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


def not_wider_than_the_window(page):
    widths = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    return widths[0] <= widths[1]


def test_overview_leads_to_a_cell_with_charts_without_errors(page):
    assert page.inner_text("h1").startswith("8 cells: 2 meet their targets")
    assert page.locator("table.cells tbody tr").count() == 8
    row = page.locator("table.cells tbody tr", has_text="tuned-CPU")
    assert "2.000 [1.990, 2.010]" in row.inner_text()
    assert not_wider_than_the_window(page)
    row.locator("a").click()
    page.wait_for_selector(".bk-Figure canvas", state="attached")
    assert page.locator(".bk-Figure").count() == 2
    assert not_wider_than_the_window(page)
    assert page.problems == []
    page.click("header a")
    assert page.inner_text("h1").startswith("8 cells")


def test_cell_without_a_measured_trial_has_no_chart(page):
    page.click("table.cells a:has-text('net4-GPU')")
    assert page.inner_text("h1").startswith("net4-GPU")
    assert page.locator(".bk-Figure").count() == 0
    assert page.problems == []


def test_details_open_by_keyboard(page):
    page.click("table.cells a:has-text('tuned-CPU')")
    details = page.locator("details").first
    details.locator("summary").focus()
    page.keyboard.press("Enter")
    assert details.evaluate("element => element.open")
    assert details.locator("tbody tr").count() == 40


def test_hostile_names_run_nothing(browser, tmp_path):
    hostile = "<img src=x onerror=window.hit=1><script>window.hit=1</script>"
    cell = replace(cell_record([trial(0, 0.0, 1.5)], final(0, 1.5)), model=hostile)
    write_reports(make_run_report(run_record(cell, command=hostile)), tmp_path / "run")
    opened = browser.new_page()
    opened.goto((tmp_path / "run" / "index.html").as_uri())
    assert hostile in opened.inner_text("main")
    assert opened.evaluate("window.hit") is None
    opened.click("table.cells a")
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


def test_two_hundred_cells_load_in_a_moment(browser, tmp_path):
    """Not in a time, but with no script to run and in less than 3 MB; the time is for the reader of the output."""
    measured = cell_record([trial(0, 0.0, 1.5)], final(0, 1.5))
    cells = [replace(measured, model=f"model-{number}") for number in range(200)]
    page = tmp_path / "index.html"
    page.write_text(render_index(make_run_report(run_record(*cells))), encoding="utf-8")
    assert page.stat().st_size < 3_000_000
    opened = browser.new_page()
    opened.goto(page.as_uri())
    assert opened.locator("table.cells tbody tr").count() == 200
    assert opened.locator("script").count() == 0
    loaded = opened.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
    print(f"200 cells: {page.stat().st_size / 1e6:.2f} MB, loaded in {loaded:.0f} ms")
