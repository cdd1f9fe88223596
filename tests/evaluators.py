"""The accuracy checker's own evaluator, with its own launcher: what a session's values are held against."""

import contextlib
import copy

import numpy as np

from quantize_zoo.scoring import find_checker
from quantize_zoo.scoring.checker_config import checker_entry, with_prefixes


def evaluate(config):
    """Let the checker evaluate a model's YAML at f32; return its metrics, means of several values, and its launcher."""
    evaluator = _process(config)
    return {name: float(np.mean(values)) for name, (_, values) in _metrics(evaluator).items()}, evaluator.launcher


def evaluate_metrics(config):
    """Let the checker evaluate a model's YAML at f32; return of each metric the names of its values, and the values."""
    return _metrics(_process(config))


def evaluate_custom(evaluation, folder):
    """Let a custom evaluator run whole; return of each metric the names of its values, and the values."""
    checker = find_checker()
    content = {"evaluations": [copy.deepcopy(evaluation)]}
    prefixes = {"source": folder, "annotations": folder, "models": folder}
    checker.module("config").ConfigReader._merge_paths_with_prefixes(prefixes, content, "evaluations")
    launcher = content["evaluations"][0]["module_config"]["launchers"][0]
    launcher |= {"device": "CPU", "_inference_precision_hint": "FP32"}
    with _without_property_of_former_releases(checker.module("launcher.openvino_launcher")):
        module = checker.module("evaluators.module_evaluator")
        evaluator = module.ModuleEvaluator.from_configs(content["evaluations"][0])
    evaluator.process_dataset()
    return _metrics(evaluator)


def _metrics(evaluator):
    found = {}
    for metric in evaluator.compute_metrics(print_results=False):
        values = np.asarray(metric.evaluated_value, dtype=np.float64).reshape(-1)
        names = [str(name) for name in metric.meta.get("names") or ()]
        found[metric.name] = (names if len(names) == len(values) else [""] * len(values), values)
    return found


def _process(config):
    checker = find_checker()
    entry = with_prefixes(checker_entry(config), config)
    entry["launchers"][0] |= {"model": config.model, "device": "CPU", "_inference_precision_hint": "FP32"}
    with _without_property_of_former_releases(checker.module("launcher.openvino_launcher")):
        evaluator = checker.module("evaluators.model_evaluator").ModelEvaluator.from_configs(entry)
    evaluator.process_dataset(None, None)
    return evaluator


@contextlib.contextmanager
def _without_property_of_former_releases(launcher):
    """The checker sets CPU_BIND_THREAD, which OpenVINO 2026 does not have and refuses."""
    set_config = launcher.ov_set_config

    def without(core, properties, **options):
        known = {name: value for name, value in properties.items() if name != "CPU_BIND_THREAD"}
        if known:
            set_config(core, known, **options)

    launcher.ov_set_config = without
    try:
        yield
    finally:
        launcher.ov_set_config = set_config
