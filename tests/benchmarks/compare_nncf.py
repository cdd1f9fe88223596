"""60 trials here against NNCF on the same models, data and machine.

    python tests/benchmarks/compare_nncf.py

``nncf.quantize`` and ``nncf.quantize_with_accuracy_control`` (relative drop of 0.5 % and 0) calibrate on the samples
that the search here calibrates on, and accuracy control judges by the samples that the search judges by. All models
are then scored on the tuning samples and on the holdout, and measured in turns: against FP32, and ours against each of
NNCF's. Prints a Markdown table.
"""

import time

import nncf
import numpy as np
from searching import MODELS, Memory, open_session, search

from quantize_zoo.cell.finishing import confirm
from quantize_zoo.cell.nncf import quantize_with_nncf
from quantize_zoo.scoring import compile_for_accuracy, paired_loss
from quantize_zoo.search import best_trial

TRIALS = 60
HEADER = (
    "| model | made by | accuracy (tuning) | loss (tuning) | loss on the holdout [95 %] | FP32 / INT8 [95 %] "
    "| its time / ours [95 %] | seconds to make it |"
)


def controlled(session, config, drop):
    """NNCF's accuracy control with the accuracy checker's metric on the tuning samples; ``drop`` is a share of FP32's.

    A metric that is better when lower counts with its sign changed, and the drop as what it is of FP32's value.
    """
    accuracy, split, fp32 = session._accuracy, session._split, session._work.fp32
    metric = config.metric
    sign = 1 if fp32.higher_is_better else -1

    def validate(compiled, indices):
        scored = accuracy.score(compiled, list(indices))
        values = scored.per_sample.get(metric)
        return sign * scored.metrics[metric], None if values is None else list(sign * values)

    wanted = config.compression.tunable.stat_subset_size
    calibration = nncf.Dataset([dict(sample) for sample in session._calibration_samples(wanted)])
    validation = nncf.Dataset(list(split.tuning))
    return nncf.quantize_with_accuracy_control(
        session._model.clone(),
        calibration_dataset=calibration,
        validation_dataset=validation,
        validation_fn=validate,
        max_drop=drop * abs(fp32.accuracy),
        drop_type=nncf.DropType.ABSOLUTE,
        subset_size=wanted,
    )


def timed(make):
    start = time.perf_counter()
    model = make()
    return model, time.perf_counter() - start


def tuned(session, prepared, config):
    found = search(Memory(session), session, prepared, config, 0, surveyed=True)
    return session._pipeline.build(best_trial(found.trials, config.optimizer.params).option)


def makers(session, prepared, config):
    compression = config.compression
    samples = session._calibration_samples(compression.tunable.stat_subset_size)
    return {
        "here, 60 trials": lambda: tuned(session, prepared, config),
        "nncf.quantize": lambda: quantize_with_nncf(session._model, samples, compression),
        "NNCF accuracy control, 0.5 %": lambda: controlled(session, config, 0.005),
        "NNCF accuracy control, 0 %": lambda: controlled(session, config, 0.0),
    }


def main():
    print(HEADER + "\n|" + " --- |" * HEADER.count(" | ") + " --- |")
    for name in MODELS:
        session, prepared, config = open_session(name, max_trials=TRIALS)
        models = {made_by: timed(make) for made_by, make in makers(session, prepared, config).items()}
        ours = models["here, 60 trials"][0]
        for made_by, (model, seconds) in models.items():
            print(row(name, made_by, model, seconds, ours, session, config), flush=True)


def row(name, made_by, model, seconds, ours, session, config):
    accuracy, metric, work = session._accuracy, config.metric, session._work
    values = {}
    for part, indices in (("tuning", session._split.tuning), ("holdout", session._split.holdout)):
        fp32 = accuracy.score(work.fp32.for_accuracy, indices)
        int8 = accuracy.score(compile_for_accuracy(model, work.bench.device), indices)
        samples = (fp32.per_sample[metric], int8.per_sample[metric])
        values[part] = (int8.metrics[metric], paired_loss(fp32.metrics[metric], int8.metrics[metric], *samples))
    ratio = confirm(work.bench, work.fp32.model, model).ratio
    against = "" if model is ours else interval(confirm(work.bench, model, ours).ratio, 1)
    loss, held = values["tuning"][1], values["holdout"][1]
    cells = [
        name, made_by, f"{values['tuning'][0]:.4f}", f"{100 * loss.value:.2f} %", f"{interval(held, 100)} %",
        interval(ratio, 1), against, f"{seconds:.0f}",
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def interval(estimate, scale):
    digits = 3 if scale == 1 else 2
    low, high = (np.round(scale * bound, digits) for bound in (estimate.low, estimate.high))
    return f"{scale * estimate.value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


if __name__ == "__main__":
    main()
