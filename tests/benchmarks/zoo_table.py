"""Print the table of model_zoo_configs/embedded/README.md from a run's results.json.

python tests/benchmarks/zoo_table.py reports/latest/results.json
"""

import json
import sys
from pathlib import Path


def rows(document):
    for cell in document["cells"]:
        reference, trials = cell["reference"], cell["trials"]
        if reference is None or cell["final"] is None:
            continue
        plain, best = trials[0], trials[cell["best"]]
        ratio = cell["final"]["latency"]["speedup"]
        yield [
            cell["model"],
            cell["device"],
            f"{reference['metric']} {reference['accuracy']['value']:.4f}",
            f"{plain['accuracy']['value']:.4f}, {plain['speedup']['value']:.2f}x",
            f"{best['accuracy']['value']:.4f}",
            f"{ratio['value']:.2f}x [{ratio['low']:.2f}, {ratio['high']:.2f}]",
            cell["verdict"]["status"],
        ]


def main():
    document = json.loads(Path(sys.argv[1]).read_text())
    print("| model | device | FP32 | plain INT8 | best found | FP32 / INT8 time | verdict |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for row in rows(document):
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
