"""Can a model be scored with an accuracy-check.yml? Told of a file without data, model or device."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantize_zoo.config.pot import is_checker_content
from quantize_zoo.config.yaml_source import read_yaml
from quantize_zoo.scoring import evaluator_problem, framework_rank, merge_definitions, unknown_names
from quantize_zoo.scoring.checker_shapes import entry_problem


@dataclass(frozen=True)
class Finding:
    """What is known of one model of a file; an empty ``problem`` means that it is supported."""

    file: str
    model: str
    problem: str


def is_checker_file(path: Path) -> bool:
    """Tell whether a file is the accuracy checker's configuration and no matrix or model of this project.

    Raises:
        ConfigurationError: it cannot be read.

    """
    return is_checker_content(read_yaml(path).data)


def check_checker_file(path: Path, definitions: dict[str, Any]) -> Iterator[Finding]:
    """Yield a finding for each model of the file.

    Raises:
        ConfigurationError: the file cannot be read.

    """
    source = read_yaml(path)
    content = source.data if isinstance(source.data, dict) else {}
    for number, evaluation in enumerate(_listed(content, "evaluations")):
        where = source.where(("evaluations", number))
        problem = evaluator_problem(evaluation) if isinstance(evaluation, dict) else "the entry is no mapping"
        yield Finding(where, str(_name(evaluation)), problem)
    for number, entry in enumerate(_listed(content, "models")):
        where = source.where(("models", number))
        if not isinstance(entry, dict):
            yield Finding(where, "unknown", "the entry is no mapping")
            continue
        yield Finding(where, str(_name(entry)), next(_problems(entry, definitions), ""))


def _listed(content: dict[str, Any], key: str) -> list[Any]:
    value = content.get(key)
    return value if isinstance(value, list) else []


def _name(entry: Any) -> str:
    return str(entry.get("name", "unknown")) if isinstance(entry, dict) else "unknown"


def _problems(entry: dict[str, Any], definitions: dict[str, Any]) -> Iterator[str]:
    problem = entry_problem(entry, "the entry")
    if problem:
        yield problem
        return
    ranked = sorted(entry["launchers"], key=framework_rank)
    if framework_rank(ranked[0]) > 1:
        yield f"another framework: {', '.join(str(each.get('framework')) for each in ranked)}"
        return
    merged = merge_definitions({**entry, "launchers": ranked}, definitions)
    dataset = merged["datasets"][0]
    if "annotation_conversion" not in dataset and "annotation" not in dataset:
        yield f"dataset {dataset.get('name')!r} is not in the definitions, and names no annotation itself"
    yield from (error.what for error in unknown_names(merged, lambda _: ""))
    if not dataset.get("metrics"):
        yield "no metric"
