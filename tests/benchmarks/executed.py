"""What a CPU executes of the embedded zoo's quantized operations and compressed weights, by instruction set.

    python tests/benchmarks/executed.py [MODEL ...]

Each model is looked at in a process of its own, held to AVX2 and not held, as a cell looks at its device: at f32, by
the runtime graph of the fully quantized base and of each way of compressing weights. Prints a Markdown table of both,
and one of the choices of the scope [bits, layer] that a search spends no trials on, without and with a target of size.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from searching import ZOO

SETS = ("AVX2", None)  # what a process is held to; None is all that the CPU has
BITS = {"tuning_scope": ("bits", "layer"), "estimator_tuning_scope": ()}


def look(name, isa):
    """What the CPU executes of a model, and how many choices are left of how many; in this process."""
    from quantize_zoo.cell import Cell
    from quantize_zoo.cell.session import CellSession
    from quantize_zoo.config import CompressionParams, DeviceSpec, hardware_path, load_model_config
    from quantize_zoo.matrix.paying import what_pays
    from quantize_zoo.quantization import derive_space

    config = load_model_config(ZOO / f"{name}.yml")
    algorithm = {"name": "TunableQuantization", "params": config.compression.tunable.model_dump() | BITS}
    compression = CompressionParams.model_validate(
        {"algorithms": [algorithm], "hardware": hardware_path("CPU-weights")}
    )
    folder = Path(tempfile.mkdtemp())
    device = DeviceSpec(device="CPU", inference_precision="f32", isa=isa)
    session = CellSession(Cell(config.model_copy(update={"compression": compression}), device), folder, folder)
    session.convert(config.model, folder / "fp32.xml")
    canonical = config.model_copy(update={"compression": compression, "model": folder / "fp32.xml"})
    session = CellSession(Cell(canonical, device), folder, folder)
    prepared = session.prepare()
    executed = session.calibrate(prepared.base).executed
    types = prepared.reference.operation_types
    whole = derive_space(prepared.placement, prepared.base, compression)
    left = []
    for for_size in (False, True):
        paying = what_pays(prepared.placement, prepared.base, prepared.base, compression, executed, for_size=for_size)
        left.append(choices(derive_space(paying.placement, paying.base, compression, paying.idle)))
    return {
        "quantized": len(executed.operations),
        "in INT8": sum(not each.in_floating_point and bool(each.precision) for each in executed.operations),
        "in floating point": sorted(types[name] for name in executed.in_floating_point),
        "not named": sorted(types[each.name] for each in executed.operations if not each.precision),
        "compressed": [[str(each.way), each.read, len(each.unpacked), each.refused] for each in executed.compressed],
        "choices": [choices(whole), *left],
    }


def choices(space):
    return sum(len(variable.branches) for variable in space.operations.values())


def looked_at(name, isa):
    """The same, in a process held to an instruction set."""
    environment = {key: value for key, value in os.environ.items() if key != "ONEDNN_MAX_CPU_ISA"}
    if isa is not None:
        environment["ONEDNN_MAX_CPU_ISA"] = isa
    command = [sys.executable, __file__, "--look", name, isa or ""]
    ended = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(ended.stdout.splitlines()[-1])


def counted(types):
    """Types with how often each is there."""
    return ", ".join(f"{types.count(kind)} {kind}" for kind in dict.fromkeys(types))


def others(found):
    parts = [counted(found["in floating point"])]
    if found["not named"]:
        parts.append(f"{counted(found['not named'])} that the graph does not name")
    return "; ".join(part for part in parts if part)


def weights(found):
    """Of INT8: how many operations' weights are read and unpacked; and which ways are refused."""
    eight = next((each for each in found["compressed"] if each[0].startswith("INT8")), None)
    refused = [way for way, _, _, why in found["compressed"] if why]
    if eight is None:
        return "none offered"
    kept = [way for way, _, _, why in found["compressed"] if not why]
    if eight[3]:
        return f"{len(refused)} ways refused; {', '.join(kept) or 'none'} run"
    return f"{eight[1]}, {eight[2]}" + (f"; {len(refused)} ways refused" if refused else "")


def main():
    models = sys.argv[1:] or [path.stem for path in sorted(ZOO.glob("*.yml")) if path.stem != "accuracy-check"]
    sides = [each or "all instructions" for each in SETS]
    print(
        "| model | "
        + " | ".join(f"in INT8, {each} | the others | compressed weights" for each in sides)
        + " |\n|"
        + " --- |" * 7
    )
    saved = []
    for name in models:
        found = [looked_at(name, each) for each in SETS]
        cells = [[f"{each['in INT8']} of {each['quantized']}", others(each), weights(each)] for each in found]
        print(f"| {name} | {' | '.join(cell for row in cells for cell in row)} |", flush=True)
        saved.append((name, [each["choices"] for each in found]))
    print(
        "\n| model | "
        + " | ".join(f"choices, {each} | not searched | not searched, for size" for each in sides)
        + " |\n|"
        + " --- |" * 7
    )
    for name, sides_of in saved:
        told = [str(each) for whole, fast, small in sides_of for each in (whole, whole - fast, whole - small)]
        print(f"| {name} | {' | '.join(told)} |")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--look"]:
        print(json.dumps(look(sys.argv[2], sys.argv[3] or None)))
    else:
        main()
