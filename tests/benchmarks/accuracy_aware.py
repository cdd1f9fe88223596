"""POT's accuracy-aware quantization as it runs here, against NNCF's accuracy control, on the same models and data.

    python tests/benchmarks/accuracy_aware.py [MODEL ...]

Both calibrate on the same samples, judge by all samples of the dataset, allow the same relative drop, and run at f32.
Their models are measured in turns: against FP32, and NNCF's against ours. Prints a Markdown table.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

from compare_nncf import controlled, interval, timed
from searching import ZOO

from builders import Alone
from quantize_zoo.cell import Cell
from quantize_zoo.cell.finishing import confirm
from quantize_zoo.cell.session import CellSession
from quantize_zoo.config import DeviceSpec, load_pot, search_stages
from quantize_zoo.matrix import pot_matrix
from quantize_zoo.quantization import derive_space, quantization_ratio
from quantize_zoo.scoring import compile_for_accuracy
from quantize_zoo.search import StagePlan, TrialRecorder, best_trial, change_whole_model, is_met
from quantize_zoo.search.give_back import give_back

MODELS = ("digits-resnet", "digits-mobilenet", "digits-vit")
DROPS = (0.005, 0.001, 0.0)
F32 = DeviceSpec(device="CPU", inference_precision="f32")
HEADER = (
    "| model | drop allowed | FP32 | ours | NNCF's | ours: quantized | ours: FP32 / INT8 [95 %] "
    "| NNCF's: FP32 / INT8 [95 %] | NNCF's time / ours [95 %] | seconds, ours | NNCF's |"
)


def open_job(model, drop, folder):
    """Return a prepared session of what POT's file asks for."""
    params = {"preset": "performance", "stat_subset_size": 300, "maximal_drop": drop, "drop_type": "relative"}
    content = {
        "model": {"model_name": model, "model": f"{model}.onnx"},
        "engine": {"config": "accuracy-check.yml"},
        "compression": {"algorithms": [{"name": "AccuracyAwareQuantization", "params": params}]},
    }
    path = Path(folder, "pot.json")
    path.write_text(json.dumps(content))
    (config,) = pot_matrix(load_pot(path)).models
    session = CellSession(Cell(config, F32), Path(folder), Path(folder))
    return session, session.prepare(), config


def searched(session, prepared, config):
    """Search as a cell does; return the best model, and how many of its operations are quantized."""
    recorder = TrialRecorder(config.optimizer.params, prepared.reference.accuracy.value, prunes=False)
    stages = search_stages(config)
    for number, stage in enumerate(stages):
        best = best_trial(recorder.trials, config.optimizer.params)
        base = prepared.base if best is None else best.option
        errors = session.calibrate(base).errors
        space = derive_space(prepared.placement, base, stage.compression)
        plan = StagePlan(number, base, space, stage.until, prepared.reference.operation_types, errors)
        by_rank = number == len(stages) - 1
        list((give_back if by_rank else change_whole_model)(plan, config.give_back, recorder, Alone(session._work)))
        if is_met(recorder.trials, recorder):
            break
    best = best_trial(recorder.trials, config.optimizer.params)
    return session._pipeline.build(best.option), quantization_ratio(best.option)


def row(model, drop):
    with tempfile.TemporaryDirectory() as folder:
        session, prepared, config = open_job(model, drop, folder)
        (ours, share), seconds = timed(lambda: searched(session, prepared, config))
        theirs, their_seconds = timed(lambda: controlled(session, config, drop))
        work, accuracy = session._work, session._accuracy

        def score(candidate):
            return accuracy.score(compile_for_accuracy(candidate, F32), session._split.scoring).metrics[config.metric]

        values = [f"{score(each):.4f}" for each in (work.fp32.model, ours, theirs)]
        pairs = ((work.fp32.model, ours), (work.fp32.model, theirs), (theirs, ours))
        ratios = [interval(confirm(work.bench, one, other).ratio, 1) for one, other in pairs]
    cells = [model, f"{100 * drop:g} %", *values, f"{100 * share:.0f} %", *ratios, f"{seconds:.0f}"]
    return f"| {' | '.join([*cells, f'{their_seconds:.0f}'])} |"


def main():
    os.chdir(ZOO)  # where paths of a POT file, and of the checker's, start
    print(HEADER + "\n|" + " --- |" * HEADER.count(" | ") + " --- |")
    for model in sys.argv[1:] or MODELS:
        for drop in DROPS:
            print(row(model, drop), flush=True)


if __name__ == "__main__":
    main()
