"""What a search belongs to: trials of one can be gone on with where all of it is the same."""

from __future__ import annotations

import json
from collections.abc import Sequence

from quantize_zoo.cell.cell import Cell
from quantize_zoo.cell.statistics import short_hash
from quantize_zoo.config import HardwareConfig, Stage, former_stages, search_stages
from quantize_zoo.scoring import Environment, describe_environment
from quantize_zoo.store import FleetMember

_PART_OF_A_SEARCH = {"ignored", "model_type", "saturation_fix", "stat_subset_size"}


def search_identity(
    cell: Cell, hardware: HardwareConfig, dataset: str, tuning: Sequence[int], members: Sequence[FleetMember] = ()
) -> dict[str, str]:
    """Return what a search belongs to, by what a user would call it.

    The scopes, presets and overrides of TunableQuantization are apart: fine_tune may go on with others.

    Args:
        cell: the cell.
        hardware: what it is quantized for.
        dataset: how many samples of which content there are.
        tuning: the samples of the search.
        members: of the fleet, those that are not here, too.

    """
    compression, params = cell.model.compression, cell.model.optimizer.params
    steps = [each.model_dump(mode="json") for each in compression.algorithms if each.name != "TunableQuantization"]
    fixed = compression.tunable.model_dump(mode="json", include=_PART_OF_A_SEARCH)
    shapes = cell.model.input_shapes
    return {
        "model content": cell.content + (f" as {json.dumps(shapes, sort_keys=True)}" if shapes else ""),
        "dataset": dataset,
        "samples of the search": short_hash(list(tuning))[:12],
        "metric": cell.model.metric,
        "device": _device_text(cell, members),
        "hardware configuration": f"{hardware.target} {short_hash(hardware.model_dump(mode='json'))}",
        "pipeline": short_hash([steps, fixed]),
        "device configuration": json.dumps(cell.scoring_device.device_config, sort_keys=True),
        "benchmark": params.benchmark.model_dump_json(exclude={"duration_seconds"}),
        "search space": _space_text(search_stages(cell.model), params.compatibility),
        "environment": "; ".join([_environment_text(describe_environment()), *_places(members)]),
    }


def former_identity(cell: Cell, dataset: str) -> dict[str, str]:
    """Return the parts of it that releases up to 0.1.0 called otherwise, by these names.

    ``dataset`` is what they called the data. Their stages chose among what one chooses today, all at once.
    """
    return {
        "dataset": dataset,
        "search space": _space_text(former_stages(cell.model), cell.model.optimizer.params.compatibility),
    }


def _space_text(stages: Sequence[Stage], compatibility: str | None) -> str:
    return short_hash([[stage.compression.tunable.model_dump(mode="json") for stage in stages], compatibility])


def _device_text(cell: Cell, members: Sequence[FleetMember]) -> str:
    if cell.fleet is None:
        return cell.device.label + (" scored on CPU" if cell.scored_on_cpu else "")
    here = ", ".join(
        f"{each.name}{f' scored on {each.scored_on}' if each.scored_on else ''} {each.share:.6g}"
        for each in members
        if not each.unavailable
    )
    slower = ", slower members allowed" if cell.fleet.allow_slower else ""
    return f"{cell.fleet.label} ({here}{slower})"


def _places(members: Sequence[FleetMember]) -> list[str]:
    return [f"{each.name} on {each.machine}" for each in members if each.elsewhere]


def _environment_text(environment: Environment) -> str:
    limited = f" limited to {environment.isa_limit}" if environment.isa_limit else ""
    sets = " ".join(environment.instruction_sets)
    return f"{environment.cpu} ({sets}{limited}), OpenVINO {environment.openvino}"
