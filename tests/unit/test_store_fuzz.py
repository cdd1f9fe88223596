"""A few hundred damaged stores and folders of baselines; ``tests/benchmarks/fuzz_store.py`` tries more."""

from store_fuzzing import fuzz
from unit.test_gate_and_report import good
from unit.test_offers import store_run

COUNT = 300


def test_damage_is_told_in_a_few_lines_and_changes_nothing(tmp_path, quantize_zoo):
    reports, exported = store_run(tmp_path, good(), require_targets=False), tmp_path / "exported"
    for command in (("accept", "--reason", "first"), ("export", exported)):
        assert quantize_zoo("baseline", *command, "--reports", reports)[0] == 0
    counts, wrong = fuzz(reports, exported, COUNT, seed=1)
    assert wrong == [], counts
    assert sum(counts.values()) == COUNT
