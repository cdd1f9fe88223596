"""POT's configurations that are no search: the model is quantized once."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import openvino as ov

from quantize_zoo.config import DeviceSpec, hardware_path, load_hardware
from quantize_zoo.config.compression import CORRECTIONS
from quantize_zoo.config.pot import CheckerEngine, Images, PotJob
from quantize_zoo.graph import make_canonical, normalizes_input, read_model
from quantize_zoo.matrix.pot_model import pot_session
from quantize_zoo.quantization import Pipeline, Samples, collect_statistics
from quantize_zoo.scoring import compile_for_accuracy, make_noise, read_images, require_device
from quantize_zoo.scoring.proof import PROVEN_SAMPLES, require_same_outputs, write_proven

Tell = Callable[[str], None]


def quantize_once(job: PotJob, written: Path, *, evaluate: bool, tell: Tell) -> dict[str, float]:
    """Write the quantized model of a job that is no search; return its metrics where they are asked for.

    Args:
        job: the job.
        written: the IR.
        evaluate: score it.
        tell: is told what should be known of the calibration.

    Raises:
        QuantizeZooError: the model or the data cannot be used, or the model cannot be written.

    """
    if evaluate:
        require_device(DeviceSpec(device=job.target))
    with tempfile.TemporaryDirectory() as folder:
        canonical = Path(folder, "model.xml")
        make_canonical(job.model, {}, canonical)
        return _quantize(job, read_model(canonical), written, evaluate=evaluate, tell=tell)


def _quantize(job: PotJob, model: ov.Model, written: Path, *, evaluate: bool, tell: Tell) -> dict[str, float]:
    samples = _calibration(job, model, written.parent, tell)
    pipeline = Pipeline(
        model,
        job.name,
        load_hardware(hardware_path(job.target)),
        job.compression,
        lambda variant, requests, size, _: collect_statistics(variant, requests, samples(size)),
        samples,
        compatibility="pot",
    )
    device = DeviceSpec(device=job.target if evaluate else "CPU")
    candidate = pipeline.build(pipeline.base)
    proven = samples(PROVEN_SAMPLES)

    def write(built: ov.Model, path: Path) -> None:
        write_proven(built, path, lambda: require_same_outputs(built, path, device, proven))

    write(candidate, written)
    if job.dump_intermediate:
        steps = tuple(step for step in pipeline.base.steps if step not in CORRECTIONS)
        write(pipeline.build(replace(pipeline.base, steps=steps)), _intermediate(written))
    if not evaluate:
        return {}
    session = pot_session(job, model, written.parent, 0)
    if isinstance(job.engine, CheckerEngine) and job.engine.calibration != 0:  # else calibration has told them
        _tell_all(session.notes, tell)
    return session.score(compile_for_accuracy(read_model(written), device)).metrics


def _tell_all(notes: Iterable[str], tell: Tell) -> None:
    for note in notes:
        tell(note)


def _intermediate(written: Path) -> Path:
    """Return where the model before bias correction goes: into POT's folder, which may be the model's own."""
    folder = written.parent / "optimized"
    return (
        folder / written.name if written.parent.name != folder.name else written.parent / "intermediate" / written.name
    )


def _calibration(job: PotJob, model: ov.Model, folder: Path, tell: Tell) -> Callable[[int | None], Samples]:
    """Return what gives the first samples of the engine's data."""
    engine = job.engine
    if isinstance(engine, CheckerEngine):
        session = pot_session(job, model, folder, engine.calibration)
        _tell_all(session.notes, tell)
        return lambda size: session.inputs()[:size]
    if not isinstance(engine, Images):
        return lambda size: make_noise(engine, model, size)
    (first,) = read_images(engine, model, 1)
    name = next(iter(first))
    if not normalizes_input(model, name):
        tell(
            f"the model's first layers hold no normalization, and the simplified engine feeds {name!r} pixels of 0 to "
            "255, as POT did: if it was trained on others, put mean and scale into the model when it is converted, or "
            "use the accuracy_checker engine with preprocessing"
        )
    told: set[Path] = set()

    def damaged(picture: Path) -> None:
        if picture not in told:
            told.add(picture)
            tell(f"{picture}: the picture cannot be read, and is left out")

    return lambda size: read_images(engine, model, size, damaged)
