"""Can a model be scored with an accuracy-check.yml? Told of a file without data, model or device."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantize_zoo.config.pot import is_checker_content
from quantize_zoo.config.yaml_source import read_yaml
from quantize_zoo.scoring import OPENVINO_LAUNCHERS, find_checker, merge_definitions


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
    for evaluation in content.get("evaluations") or ():
        module = evaluation.get("module", "unknown") if isinstance(evaluation, dict) else "unknown"
        yield Finding(f"{path}:1", str(_name(evaluation)), f"custom evaluator {str(module).rsplit('.', 1)[-1]}")
    for number, entry in enumerate(content.get("models") or ()):
        where = source.where(("models", number))
        if not isinstance(entry, dict):
            yield Finding(where, "unknown", "the entry is no mapping")
            continue
        yield Finding(where, str(_name(entry)), next(_problems(entry, definitions), ""))


def _name(entry: Any) -> str:
    return str(entry.get("name", "unknown")) if isinstance(entry, dict) else "unknown"


def _problems(entry: dict[str, Any], definitions: dict[str, Any]) -> Iterator[str]:
    launchers, datasets = entry.get("launchers"), entry.get("datasets")
    for key, value in (("launchers", launchers), ("datasets", datasets)):
        if not isinstance(value, list) or not value:
            yield f"no list {key!r}"
            return
    frameworks = [str(launcher.get("framework")) for launcher in launchers or ()]
    launcher = next((each for each in launchers or () if each.get("framework") in OPENVINO_LAUNCHERS), None)
    if launcher is None:
        yield f"another framework: {', '.join(frameworks)}"
        return
    yield from _provider("adapters", "Adapter", launcher.get("adapter"))
    dataset = merge_definitions(entry, definitions)["datasets"][0]
    conversion = dataset.get("annotation_conversion")
    if conversion is None and "annotation" not in dataset:
        yield f"dataset {dataset.get('name')!r} is not in the definitions, and names no annotation itself"
    if isinstance(conversion, dict):
        yield from _provider("annotation_converters", "BaseFormatConverter", conversion.get("converter"))
    yield from _provider("data_readers", "BaseReader", dataset.get("reader"))
    for package, base, key in _LISTS:
        for item in dataset.get(key) or ():
            yield from _provider(package, base, item)
    if not dataset.get("metrics"):
        yield "no metric"


_LISTS = (
    ("preprocessor", "Preprocessor", "preprocessing"),
    ("postprocessor", "Postprocessor", "postprocessing"),
    ("metrics.metric", "Metric", "metrics"),
)


def _provider(module: str, base: str, config: Any) -> Iterator[str]:
    """Yield what is wrong with a part of the configuration that names one of the checker's classes."""
    name = config.get("type") if isinstance(config, dict) else config
    if name is None:
        return
    checker = find_checker()
    checker.module(module.split(".", maxsplit=1)[0])  # importing the package registers its classes
    providers = getattr(checker.module(module), base).providers
    if name not in providers:
        yield f"the accuracy checker has no {module.split('.')[0].rstrip('s').replace('_', ' ')} {name!r}"
