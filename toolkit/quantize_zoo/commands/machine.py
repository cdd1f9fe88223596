"""``doctor``: what this machine has."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from quantize_zoo.commands.lines import say
from quantize_zoo.commands.options import JsonOption
from quantize_zoo.errors import ConfigurationError

InstallOption = Annotated[
    bool, typer.Option("--install-checker", help="Install openvino-dev's accuracy checker if there is none.")
]


def doctor(install_checker: InstallOption = False, as_json: JsonOption = False) -> None:
    """Tell what this machine has, and how to get what is missing."""
    from quantize_zoo import __version__
    from quantize_zoo.scoring import (
        available_devices,
        available_instruction_sets,
        describe_environment,
        install_overlay,
    )  # fmt: skip

    checker, problem = _look_for_checker()
    if problem is not None and install_checker:
        install_overlay()
        checker, problem = _look_for_checker()
    environment = describe_environment()
    facts: dict[str, Any] = {
        "quantize-zoo": __version__,
        "OpenVINO": environment.openvino,
        "devices": available_devices(),
        "CPU": environment.cpu,
        "cores": environment.cores,
        "instruction sets": list(environment.instruction_sets),
        "instruction set limit": environment.isa_limit or None,
        "isa of a CPU cell": list(available_instruction_sets()),
        "accuracy checker": checker,
        "Python": environment.python,
        "NumPy": environment.numpy,
        "hyperopt": environment.hyperopt,
    }
    if as_json:
        print(json.dumps(facts))
    else:
        width = max(map(len, facts))
        for name, value in facts.items():
            text = ", ".join(value) if isinstance(value, list) else "none" if value is None else str(value)
            say(f"{name:{width}}  {text}")
    if problem is not None:
        raise problem


def _look_for_checker() -> tuple[str | None, ConfigurationError | None]:
    from quantize_zoo.scoring import find_checker

    try:
        found = find_checker()
    except ConfigurationError as error:
        return None, error
    return f"{found.version}, {found.origin}", None
