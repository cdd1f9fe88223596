"""Damage stores and folders of baselines: ``python tests/benchmarks/fuzz_store.py 10000 --seed 7``.

Prints how often what happened, by kind of damage, and every input that a command did not take as it has to; exits 1 if
there is one.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from store_fuzzing import fuzz, invoke
from unit.test_gate_and_report import good
from unit.test_offers import store_run


def main():
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        reports, exported = store_run(folder, good(), require_targets=False), folder / "exported"
        for command in (("accept",), ("export", str(exported))):
            status, told, _ = invoke("baseline", *command, "--reports", str(reports))
            assert status == 0, told
        started = time.monotonic()
        counts, wrong = fuzz(reports, exported, arguments.count, arguments.seed)
    for outcome in wrong:
        print(f"{outcome.kind}: status {outcome.status}: {outcome.problem}\n{outcome.told}")
    for kind, count in sorted(counts.items()):
        print(f"{count:7} {kind}")
    print(f"{arguments.count} inputs, seed {arguments.seed}, {time.monotonic() - started:.0f} s")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
