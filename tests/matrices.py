"""A matrix of one model on one dataset, scored at f32 in a few short trials."""

import yaml

BENCHMARK = {"nthreads": 1, "nstreams": 1, "api_type": "sync", "batch_size": 1, "duration_seconds": 0.2}


def write_matrix(folder, name, adapter, dataset, calibration, **optimizer):
    """Write ``matrix.yml``, ``net.yml`` and ``checker.yml`` for the model ``net.xml``; tune on the first metric."""
    launchers = [{"framework": "openvino", "adapter": adapter}]
    checker = {"models": [{"name": name, "launchers": launchers, "datasets": [{"name": name, **dataset}]}]}
    algorithm = {"name": "TunableQuantization", "params": {"stat_subset_size": calibration, "preset": "performance"}}
    model = {
        "name": name, "model": "net.xml", "accuracy_checker": "checker.yml", "metric": dataset["metrics"][0]["name"],
        "compression": {"target_device": "CPU", "algorithms": [algorithm]},
        "optimizer": {
            "name": "Tpe", "params": {"max_trials": 3, "latency_reduce": 0.01, "benchmark": BENCHMARK, **optimizer},
        },
    }  # fmt: skip
    matrix = {"models": ["net.yml"], "devices": [{"device": "CPU", "inference_precision": "f32"}]}
    for file, content in {"checker.yml": checker, "net.yml": model, "matrix.yml": matrix}.items():
        (folder / file).write_text(yaml.safe_dump(content))
    return folder / "matrix.yml"
