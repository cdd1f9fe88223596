"""Model Optimizer's command line for omz_converter, done by OpenVINO's converter.

Run by the path of this file, in another interpreter: it imports nothing of this package. What only Model Optimizer
could do, its transformations of TensorFlow's object detection API among them, is refused.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Any

import openvino as ov
from openvino.preprocess import PrePostProcessor

_VALUES = re.compile(r"([^\[\],()]*)[\[(]([^\])]+)[\])]")


def main() -> None:
    """Convert, or say what cannot be."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for name in ("framework", "output_dir", "model_name", "input", "input_shape", "layout", "output", "input_model"):
        parser.add_argument(f"--{name}")
    for name in ("mean_values", "scale_values", "saved_model_dir", "scale"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--reverse_input_channels", action="store_true")
    parser.add_argument("--compress_to_fp16", default="False")
    options, unknown = parser.parse_known_args()
    if unknown:
        sys.exit(f"error: {unknown[0].split('=')[0]} is not supported by OpenVINO's converter")
    model = _convert(options)
    _preprocess(model, options)
    path = Path(options.output_dir) / f"{options.model_name}.xml"
    path.parent.mkdir(parents=True, exist_ok=True)
    ov.save_model(_named(model, options), path, compress_to_fp16=options.compress_to_fp16 == "True")


def _convert(options: argparse.Namespace) -> ov.Model:
    names = options.input.split(",") if options.input else []
    shapes = [
        [int(size) for size in found.split(",")] for found in re.findall(r"\[([^\]]*)\]", options.input_shape or "")
    ]
    wanted: list[Any] = list(zip(names, shapes, strict=False)) if shapes else names
    source = options.input_model or options.saved_model_dir
    arguments: dict[str, Any] = {"input": wanted} if wanted else {}
    if options.output:
        arguments["output"] = options.output.split(",")
    return ov.convert_model(source, **arguments)


def _preprocess(model: ov.Model, options: argparse.Namespace) -> None:
    """Put channel order, mean and scale into the model, in this order, as Model Optimizer did."""
    means, scales = _values(options.mean_values), _values(options.scale_values)
    if options.scale:
        scales.setdefault("", [float(options.scale)])
    if not (means or scales or options.reverse_input_channels):
        return
    layouts = dict(re.findall(r"([^,()]+)\((\w+)\)", options.layout or ""))
    processor = PrePostProcessor(model)
    for port in model.inputs:
        name = port.get_any_name()
        if len(port.get_partial_shape()) != 4:
            continue
        default = "NCHW" if port.get_partial_shape()[1].to_string() in ("1", "3") else "NHWC"
        entry = processor.input(name)
        entry.model().set_layout(ov.Layout(layouts.get(name, default)))
        entry.tensor().set_layout(ov.Layout(layouts.get(name, default)))
        if options.reverse_input_channels and "3" in _channels(port, layouts.get(name, default)):
            entry.preprocess().reverse_channels()
        for values, apply in ((means, entry.preprocess().mean), (scales, entry.preprocess().scale)):
            found = values.get(name, values.get(""))
            if found is not None:
                apply(found[0] if len(found) == 1 else found)
    processor.build()


def _channels(port: Any, layout: str) -> str:
    return str(port.get_partial_shape()[layout.index("C")].to_string())


def _values(text: str | None) -> dict[str, list[float]]:
    """``data[1,2,3],other[4]`` by input name; without a name for all inputs."""
    found = _VALUES.findall(text or "")
    return {name.strip(", "): [float(value) for value in values.split(",")] for name, values in found}


def _named(model: ov.Model, options: argparse.Namespace) -> ov.Model:
    model.set_friendly_name(options.model_name)
    return model


if __name__ == "__main__":
    main()
