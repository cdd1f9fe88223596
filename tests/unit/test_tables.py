"""Tables of a terminal: whatever its width, every name and figure is there in one piece."""

import pytest
from rich.cells import cell_len

from quantize_zoo.commands.tables import Listing, print_listing

NAME = "digits-mobilenet-with-a-long-name-CPU[AVX2]"
FIGURE = "1.4321 [1.4212, 1.4432]"
WORDS = "on samples that the search never saw the best loses more than it may"
LISTING = Listing(
    ["cell", "verdict", "FP32 / INT8", "found"],
    [[NAME, "met", FIGURE, WORDS], ["net-GPU", "failed", "", "no\x1b[31m device"]],
    title="run 20260101-000000-000",
    prose=frozenset({"found"}),
)


@pytest.mark.parametrize("width", [None, 160, 120, 100, 80, 60, 40, 20, 1])
def test_no_name_and_no_figure_is_cut_or_broken(width, capsys):
    print_listing(LISTING, width)
    out = capsys.readouterr().out
    for whole in (NAME, FIGURE, "met", "net-GPU", "failed", "FP32 / INT8"):
        assert whole in out
    for word in WORDS.split():
        assert word in out
    assert "…" not in out
    assert "\x1b" not in out


@pytest.mark.parametrize("width", [120, 160])
def test_a_table_keeps_to_the_terminal(width, capsys):
    print_listing(LISTING, width)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= width
    assert any("verdict" in line and "FP32 / INT8" in line for line in lines)


def test_a_narrow_terminal_has_a_block_for_each_row_without_what_is_empty(capsys):
    print_listing(LISTING, 80)
    assert capsys.readouterr().out.splitlines() == [
        "run 20260101-000000-000",
        NAME,
        "  verdict      met",
        f"  FP32 / INT8  {FIGURE}",
        "  found        on samples that the search never saw the best loses more than it",
        "               may",
        "net-GPU",
        "  verdict      failed",
        r"  found        no\x1b[31m device",
    ]


def test_what_is_piped_is_a_table_of_any_width(capsys):
    print_listing(Listing(["cell", "text"], [["x" * 300, "y" * 300]]), None)
    assert f"│ {'x' * 300} │ {'y' * 300} │" in capsys.readouterr().out


def test_markup_in_a_name_is_text(capsys):
    print_listing(Listing(["cell"], [["[bold]net[/bold]"], ["[link=x]"]]), 100)
    out = capsys.readouterr().out
    assert "[bold]net[/bold]" in out
    assert "[link=x]" in out


@pytest.mark.parametrize("width", [None, 160, 120])
def test_the_lines_of_a_table_are_equally_wide_whatever_its_texts(width, capsys):
    listing = Listing(["cell", "found"], [["網路-CPU", WORDS], ["net", "長い説明 " * 20]], prose=frozenset({"found"}))
    print_listing(listing, width)
    lines = capsys.readouterr().out.splitlines()
    assert len({cell_len(line) for line in lines}) == 1
    assert len(lines) == 6 if width is None else len(lines) > 5
