"""The report in a real browser: opens from a folder, shows what it should, no console error, no network, no barrier."""

import json
import shutil
from dataclasses import asdict, replace

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

from builders import accepted, cell_record, estimate, final, trial
from quantize_zoo.gate import ChangedSample, Check, GateResult
from quantize_zoo.report import make_run_report, render_index, write_reports
from quantize_zoo.report.html import overview_script
from quantize_zoo.scoring import LayerTime
from quantize_zoo.search import Pruned
from quantize_zoo.store import NightRecord
from unit.test_gate_and_report import all_cells, run_record
from unit.test_outputs import measured
from unit.test_report_parts import DEVIATIONS, TIMES
from unit.test_whole_reports import with_nan

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
    """A run with every kind of cell; the one called tuned has all that a cell can have."""
    trials = [trial(number, (number % 7 - 2) / 1000, 1 + number % 11 / 10) for number in range(40)]
    trials[5] = replace(trials[5], measurement=None, score=None, loss=None, pruned=Pruned(estimate(0.5), 0.5))
    best = max((each for each in trials if each.score), key=lambda each: each.score.latency_ratio)
    layers = tuple(LayerTime(f"/block/layer{index}", 10.0 + index, 5.0 + 2 * index, "f32", "i8") for index in range(40))
    ended = replace(final(best.number, 2.0), latency=measured(), layers=layers)
    samples = (ChangedSample("1.png", "three", "five"),)
    checks = [
        Check("quantization", "latency", "the configuration", "regressed", "6.1 % slower [4.9, 7.3]"),
        Check("search", "accuracy", "tonight's best", "changed", "1 answer changed", changed=samples, changed_count=1),
    ]
    checks = [replace(checks[0], layer_times=TIMES), replace(checks[1], layer_deviations=DEVIATIONS)]
    gate = asdict(GateResult(1, "2026-01-01T00:00", tuple(checks)))
    tuned = cell_record(trials, ended, model="tuned", gate=json.loads(json.dumps(gate)), sensitivity={"op0": 0.1})
    nights = [NightRecord(f"night{index}", 1.0, None, 1.5) for index in range(12)]
    target = tmp_path_factory.mktemp("reports") / "20260101"
    run = run_record(tuned, *all_cells())
    write_reports(make_run_report(run, [accepted(tuned)], {"tuned-CPU": nights}), target, newest=True)
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
    assert page.inner_text("h1").startswith("1 regressed, 1 failed, 1 interrupted: 1 of 8 cells compared")
    assert page.locator("table.cells tbody tr").count() == 8
    row = page.locator("table.cells tbody tr", has_text="tuned-CPU")
    assert "1.250 [" in row.inner_text()
    assert page.locator("svg.spark").count() == 1
    assert not_wider_than_the_window(page)
    row.locator("a").click()
    page.wait_for_selector(".bk-Figure canvas", state="attached")
    assert page.locator(".bk-Figure").count() == 5
    assert not_wider_than_the_window(page)
    assert page.problems == []
    page.click("header a")
    assert page.inner_text("h1").startswith("1 regressed")


def test_cell_without_a_measured_trial_has_no_chart(page):
    page.click("table.cells a:has-text('net4-GPU')")
    assert page.inner_text("h1").startswith("net4-GPU")
    assert page.locator(".bk-Figure").count() == 0
    assert page.problems == []


def names(page):
    return [text for text in page.locator("table.cells tbody tr:not([hidden]) th").all_inner_texts() if text]


def test_table_is_filtered_by_tiles_and_words(page):
    page.click(".tiles a[data-status=unavailable]")
    assert names(page) == ["net4-GPU"]
    assert page.inner_text("#filter output") == "1 of 8 shown"
    page.click(".tiles a[data-status=unavailable]")
    page.fill("#filter input", "miss cpu")
    assert names(page) == ["net2-CPU", "net3-CPU"]
    page.fill("#filter input", "")
    assert len(names(page)) == 8
    assert page.problems == []


def test_table_is_sorted_by_keyboard(browser, folder):
    """Where the window is wide enough for a table with a head."""
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    opened.goto((folder / "index.html").as_uri())
    button = opened.locator("th[data-sort] button", has_text="FP32 / INT8")
    button.focus()
    opened.keyboard.press("Enter")
    rising = [
        float(text.split()[0]) for text in opened.locator("td[data-label='FP32 / INT8'] strong").all_inner_texts()
    ]
    assert rising == sorted(rising)
    assert len(set(rising)) > 2
    opened.keyboard.press("Enter")
    assert names(opened)[0] == "net3-CPU"
    assert names(opened)[-1] == "net4-GPU", "what has no figure comes last, whichever way"
    assert opened.locator("th[aria-sort=descending]").count() == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["index.html", "cells/tuned-CPU.html", "cells/net4-GPU.html"])
def test_axe_finds_no_barrier(browser, folder, name, scheme):
    """By axe-core, all of its rules; the charts are there, and everything that can be opened is open."""
    context = browser.new_context(color_scheme=scheme, bypass_csp=True)
    opened = context.new_page()
    opened.goto((folder / name).as_uri())
    opened.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    if "tuned" in name:
        opened.wait_for_selector(".bk-Figure canvas", state="attached")
    found = Axe().run(opened).response
    assert len(found["passes"]) > 10
    assert [(each["id"], each["impact"], each["nodes"][0]["html"][:200]) for each in found["violations"]] == []
    opened.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=\"x.png\">')")
    assert [each["id"] for each in Axe().run(opened).response["violations"]] >= ["image-alt"]
    context.close()


def test_printed_page_has_what_is_folded(browser, folder):
    opened = browser.new_page()
    opened.goto((folder / "cells" / "tuned-CPU.html").as_uri())
    row = opened.locator("#trials tbody tr").last
    assert not row.evaluate("element => element.checkVisibility()")
    opened.emulate_media(media="print")
    assert row.evaluate("element => element.checkVisibility()")
    assert opened.locator("#trials .scroll").evaluate("element => getComputedStyle(element).overflowX") == "visible"


def test_details_open_by_keyboard(page):
    page.click("table.cells a:has-text('tuned-CPU')")
    details = page.locator("#trials details")
    details.locator("summary").focus()
    page.keyboard.press("Enter")
    assert details.evaluate("element => element.open")
    assert details.locator("tbody tr").count() == 40


def test_hostile_names_run_nothing(browser, tmp_path):
    hostile = "<img src=x onerror=window.hit=1><script>window.hit=1</script>"
    cell = replace(cell_record([trial(0, 0.0, 1.5)], final(0, 1.5)), model=hostile)
    write_reports(make_run_report(run_record(cell, command=hostile)), tmp_path / "run", newest=True)
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
    assert opened.evaluate("window.hit") is None  # the image has failed: goto waits for it
    (tmp_path / "index.html").write_text(hole.replace("Content-Security-Policy", "X-None"))
    opened.goto((tmp_path / "index.html").as_uri())
    assert opened.evaluate("window.hit") == 1


def test_five_hundred_cells_of_ninety_nights_load_in_a_moment(browser, tmp_path):
    """In less than 3 MB, with one script of our own; the time is for the reader of the output."""
    single = cell_record([trial(0, 0.0, 1.5)], final(0, 1.5))
    cells = [replace(single, model=f"model-{number}") for number in range(500)]
    nights = {cell.name: [NightRecord(f"night{index}", 1.0, None, 1.5) for index in range(90)] for cell in cells}
    page = tmp_path / "index.html"
    page.write_text(render_index(make_run_report(run_record(*cells), (), nights)), encoding="utf-8")
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "overview.js").write_text(overview_script())
    assert page.stat().st_size < 3_000_000
    opened = browser.new_page()
    opened.goto(page.as_uri())
    assert opened.locator("table.cells tbody tr").count() == 500
    assert opened.locator("script").count() == 1
    loaded = opened.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
    print(f"500 cells: {page.stat().st_size / 1e6:.2f} MB, loaded in {loaded:.0f} ms")


def open_without_problems(browser, page):
    opened = browser.new_page()
    problems = []
    opened.on("console", lambda message: message.type in ("error", "warning") and problems.append(message.text))
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.goto(page.as_uri())
    return opened, problems


def test_a_run_without_cells_says_so(browser, tmp_path):
    write_reports(make_run_report(run_record(status="interrupted")), tmp_path / "run", newest=False)
    opened, problems = open_without_problems(browser, tmp_path / "run" / "index.html")
    assert opened.inner_text("h1") == "No cell was run: the run was interrupted before its first cell"
    assert opened.locator("table").count() == 0
    assert problems == []


def test_figures_that_are_no_numbers_break_no_chart_and_come_last(browser, tmp_path):
    cells = [
        replace(with_nan(), model="nothing"),
        *(replace(cell, model=f"m{index}") for index, cell in enumerate(some())),
    ]
    write_reports(make_run_report(run_record(*cells)), tmp_path / "run", newest=False)
    opened, problems = open_without_problems(browser, tmp_path / "run" / "index.html")
    button = opened.locator("th[data-sort] button", has_text="FP32 / INT8")
    for _ in range(2):
        button.click()
        assert names(opened)[-1] == "nothing-CPU"
    opened.click("table.cells a:has-text('nothing-CPU')")
    opened.wait_for_selector(".bk-Figure canvas", state="attached")
    assert opened.locator(".bk-Figure").count() == 3
    assert problems == []


def some():
    return [cell_record([trial(0, 0.0, ratio)], final(0, ratio)) for ratio in (1.5, 1.3, 1.4)]
