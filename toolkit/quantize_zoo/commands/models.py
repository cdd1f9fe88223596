"""What is done with a model and its files: ``init``, ``check``."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quantize_zoo.commands.lines import say, tell
from quantize_zoo.commands.options import DefinitionsOption, JsonOption, MatrixArgument
from quantize_zoo.commands.places import matrix_at
from quantize_zoo.errors import ConfigurationError
from quantize_zoo.text.counts import counted

if TYPE_CHECKING:
    from quantize_zoo.config import MatrixConfig
    from quantize_zoo.zoo import Finding

_NOTHING_USABLE = 2


def init(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="An ONNX file, an IR, or what else OpenVINO reads.")],
) -> None:
    """Write a model's YAML to start from, by looking at the model."""
    from quantize_zoo.config import schema_path
    from quantize_zoo.zoo import write_starter

    written = write_starter(model, str(schema_path("model")))
    say(f"{written}: fill in the lines with TODO, then run: quantize-zoo check {written}")


def check(
    matrix: MatrixArgument = None,
    definitions: DefinitionsOption = None,
    open_model_zoo: Annotated[bool, typer.Option(help="Check every accuracy-check.yml of Open Model Zoo.")] = False,
    fast: Annotated[bool, typer.Option(help="Look at the configuration alone, at no model and no data.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Validate a matrix and all that it names, or an accuracy-check.yml, without running.

    Of each model a sample is read and goes through the FP32 model, the adapter and the metrics.
    """
    from quantize_zoo.matrix import expand
    from quantize_zoo.scoring import read_definitions
    from quantize_zoo.zoo import check_checker_file, definitions_file, is_checker_file, zoo_checker_files

    if open_model_zoo or (matrix is not None and is_checker_file(matrix)):
        files = list(zoo_checker_files()) if open_model_zoo or matrix is None else [matrix]
        shared = read_definitions(definitions or (definitions_file() if open_model_zoo else None))
        look = not (fast or open_model_zoo)  # whoever asks for the whole zoo has hardly any of its data
        _tell_findings(
            [each for file in files for each in check_checker_file(file, shared, files=look)], as_json=as_json
        )
        return
    loaded = matrix_at(matrix, [], [], {}, definitions)
    cells = [cell.key.label for cell in expand(loaded)]
    for waiver in loaded.waivers:
        if over := waiver.over(datetime.now(timezone.utc).date()):
            tell(f"{waiver.cell}: {over}")
    _inspect(loaded, fast=fast)
    if as_json:
        print(json.dumps({"cells": cells}))
        return
    say(f"{counted(cells, 'cell')}: {', '.join(cells)}")


def _inspect(matrix: MatrixConfig, *, fast: bool) -> None:
    """Look at every model of a matrix; print all that is wrong, and end with exit status 2 if anything is."""
    from quantize_zoo.cell.inspection import inspect_model, refuse_fleets
    from quantize_zoo.config import devices_of

    wrong: list[ConfigurationError] = []
    for model in matrix.models:
        targets = (each for each in matrix.devices if not each.models or model.name in each.models)
        devices = [device.device for target in targets for device in devices_of(target)]
        found = inspect_model(model, devices, fast=fast)
        wrong += [*found.refusals, *found.unknown_keys]
        if found.note:
            tell(f"{model.name}: {found.note}")
    wrong += refuse_fleets(matrix)
    for error in wrong:
        tell(f"error: {error}")
    if wrong:
        raise typer.Exit(_NOTHING_USABLE)


def _tell_findings(findings: list[Finding], *, as_json: bool) -> None:
    """Print what can be scored and what not; the exit status is 2 if there is something wrong with everything."""
    scored = [finding for finding in findings if not finding.refusals]
    if as_json:
        print(json.dumps([_as_json(finding) for finding in findings]))
    else:
        for finding in findings:
            for error in finding.faults:
                say(f"{error.where}: {finding.model}: {error.what}\n  -> {error.remedy}")
        doubtful = [finding for finding in scored if finding.unknown_keys]
        told = f", {len(doubtful)} of them with keys that the accuracy checker does not know" if doubtful else ""
        say(f"{len(scored)} of {len(findings)} models can be scored{told}")
    if all(finding.faults for finding in findings):
        raise typer.Exit(_NOTHING_USABLE)


def _as_json(finding: Finding) -> dict[str, object]:
    faults = [{"where": each.where, "what": each.what, "remedy": each.remedy} for each in finding.faults]
    return {"file": finding.file, "model": finding.model, "problem": finding.problem, "faults": faults}
