"""Models: reading, quantizing, running and writing them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from quantize_zoo.errors.kinds import CellError, ConfigurationError, did_you_mean, nearest

_NO_MEMORY = "std::bad_alloc"  # as C++ says it


def model_unreadable(path: Path, cause: str) -> CellError:
    """OpenVINO cannot read the model."""
    return CellError(f"OpenVINO cannot read the model: {cause}", where=str(path), remedy="export the model again")


def no_model(where: str, path: Path, cause: str) -> ConfigurationError:
    """What should be a model is none, or cannot be read; ``where`` names it."""
    return ConfigurationError(
        f"{path} is no model: {cause}",
        where=where,
        remedy="name an ONNX file, an IR (.xml, with its .bin beside it), or what else OpenVINO reads",
    )


def weights_of_another_model(
    names: tuple[str, str], weights: Path, model: Path, has: int, wanted: int
) -> ConfigurationError:
    """Weights are not those of the model beside them; ``names`` are what names the weights and the model."""
    return ConfigurationError(
        f"{names[0]} {weights} does not belong to {names[1]} {model}: it has {has} bytes, and the model's constants "
        f"take {wanted}",
        remedy="name the .bin that was written with this .xml",
    )


def no_ports(path: Path, kind: str) -> CellError:
    """There is nothing to feed a model with, or nothing that it answers."""
    return CellError(f"the model has no {kind}", where=str(path), remedy="export it with its inputs and outputs")


def dynamic_rank(name: str) -> CellError:
    """Not even the number of dimensions of an input is known."""
    return CellError(
        f"input {name!r} has a dynamic rank: any number of dimensions",
        where="model",
        remedy=f"give its shape in the model's YAML, as in 'input_shapes: {{{name}: [1, 3, -1, -1]}}'",
    )


def dynamic_channels(operation: str, shape: str) -> CellError:
    """A tensor to quantize by channel has no fixed number of channels."""
    return CellError(
        f"the output of operation {operation!r} has the dynamic shape {shape}, so that its channels cannot be told",
        where="statistics",
        remedy="exclude the operations that it feeds with ignored.scope, or fix shapes with input_shapes",
    )


def never_observed(operation: str) -> CellError:
    """A tensor to quantize is empty for all calibration samples."""
    return CellError(
        f"the output of operation {operation!r} has no value for any calibration sample",
        where="statistics",
        remedy="calibrate on samples that reach it, or exclude the operations that it feeds with ignored.scope",
    )


def unknown_input(name: str, known: Iterable[str]) -> ConfigurationError:
    """``input_shapes`` names what the model does not have."""
    return ConfigurationError(f"the model has no input {name!r}", where="input_shapes", remedy=nearest(name, known))


def shapes_refused(shapes: Mapping[str, Sequence[int]], own: str, cause: str) -> CellError:
    """The model cannot have the shapes that are asked for; ``own`` are its own."""
    listed = ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items())
    return CellError(
        f"the model does not take the shapes {listed}: {cause}",
        where="input_shapes",
        remedy=f"correct the shapes; the model's own are {own}",
    )


def another_rank(name: str, wanted: int, own: str, rank: int) -> CellError:
    """``input_shapes`` gives an input another number of dimensions than it has."""
    return CellError(
        f"input {name!r} of the model has rank {rank}, its shape is {own}; {wanted} dimensions are given",
        where="input_shapes",
        remedy=f"give {rank} of them, -1 for one that stays dynamic",
    )


def beyond_memory(what: str, taken: int, available: int, where: str) -> CellError:
    """Inferring the model takes more memory than there is."""
    return CellError(
        f"{what} take {taken / 1e9:,.1f} GB, and {available / 1e9:,.1f} GB of memory are here",
        where=where,
        remedy="make smaller what they come from: input_shapes, the samples (resize), or the benchmark's batch_size",
    )


def batch_is_fixed(batch: int, shapes: str) -> CellError:
    """``batch_size`` of the benchmark asks for more than the model takes."""
    return CellError(
        f"batch_size is {batch}, and the model's shapes are fixed ({shapes})",
        where="benchmark",
        remedy="name the shapes to deploy with input_shapes, or leave the batch dynamic there (-1)",
    )


def input_mismatch(name: str, wanted: str, given: str) -> CellError:
    """The preprocessed data do not fit the model."""
    return CellError(
        f"input {name!r} of the model takes {wanted}, the preprocessed data are {given}",
        where="model and dataset",
        remedy="correct the preprocessing (resize, color) or the layout in the accuracy checker's configuration; "
        "samples come one at a time, so set a larger batch to 1 with input_shapes",
    )


def nothing_to_quantize(model: str, hardware: str) -> CellError:
    """No operation of the model is quantizable."""
    return CellError(
        f"model {model!r} has no operation that the hardware configuration {hardware} quantizes",
        where="model",
        remedy="take a model with convolutions or matrix multiplications, or leave it out of the matrix",
    )


def double_precision(model: str, operation: str) -> CellError:
    """All that could be quantized computes in f64."""
    return CellError(
        f"model {model!r} computes in double precision from operation {operation!r} on, which cannot be quantized",
        where="model",
        remedy="export the model in single precision (f32)",
    )


def port_without_numpy_type(port: str, kind: str) -> CellError:
    """Inputs or outputs have an element type that NumPy lacks, so that neither data nor answers can be passed."""
    return CellError(
        f"{port} has the element type {kind}, for which preprocessed data and answers have no equal",
        where="model",
        remedy="give the model inputs and outputs of f32, for example with openvino.preprocess.PrePostProcessor; "
        "inside it may compute in any precision",
    )


def model_skipped(model: str) -> CellError:
    """``ignored: skip_model`` excludes everything."""
    return CellError(
        f"model {model!r} is skipped: ignored.skip_model is true",
        where="compression",
        remedy="leave the model out of the matrix, or remove skip_model",
        keys=("ignored", "skip_model"),
    )


def unknown_operation(name: str, known: Iterable[str], number: int) -> CellError:
    """``ignored: scope`` names, as this one of its names, what the model does not have."""
    return CellError(
        f"ignored.scope: the model has no operation {name!r}",
        where="compression",
        remedy=did_you_mean(name, known, cutoff=0.4) or "look the names up in the model's IR",
        keys=("ignored", "scope", number),
    )


def unknown_operation_type(kind: str, known: Iterable[str], number: int) -> CellError:
    """``ignored: operations`` has, as this one of its entries, a type that nothing has."""
    return CellError(
        f"ignored.operations: unknown type {kind!r}",
        where="compression",
        remedy=nearest(kind, known),
        keys=("ignored", "operations", number, "type"),
    )


def not_in_hardware(tensor: str, wanted: Mapping[str, object], target: str, known: Iterable[str]) -> CellError:
    """An override of activations or weights asks for what the hardware configuration lists for no operation."""
    listed = ", ".join(f"{key} {value}" for key, value in wanted.items())
    return CellError(
        f"{tensor}: {listed} is not in the hardware configuration {target}",
        where="compression",
        remedy=f"it has: {', '.join(known)}; or name another configuration with compression.hardware",
        keys=(tensor, *list(wanted)[:1]),
    )


def already_quantized(model: str) -> CellError:
    """The model has FakeQuantize operations before tuning."""
    return CellError(
        f"model {model!r} is quantized already: it has FakeQuantize operations",
        where="model",
        remedy="name the FP32 model that it was made from",
    )


def not_finite(operation: str) -> CellError:
    """Calibration met NaN or infinity."""
    return CellError(
        f"the input of operation {operation!r} has NaN or infinite values on the calibration data",
        where="statistics",
        remedy="check the preprocessing (mean, scale) and the model's weights",
    )


def weights_not_finite(operation: str) -> CellError:
    """A model was exported with NaN or infinite weights."""
    return CellError(
        f"the weights of operation {operation!r} have NaN or infinite values",
        where="model",
        remedy="export the model again, or exclude the operation with ignored.scope",
    )


def outputs_not_numbers(output: str, sample: str) -> CellError:
    """A model answers NaN, which most metrics would take for a wrong or even a right answer."""
    return CellError(
        f"output {output!r} of the model is NaN for sample {sample!r}",
        where="model",
        remedy="check the preprocessing (mean, scale), the model's weights, and the inference precision",
    )


def inference_failed(what: str, cause: str) -> CellError:
    """OpenVINO refuses to compile or to infer."""
    if _NO_MEMORY in cause:
        return CellError(
            f"{what} failed: the process gets no more memory",
            where="OpenVINO",
            remedy="raise its limit (ulimit -v, or the container's), or take a smaller stat_subset_size or batch size",
        )
    return CellError(f"{what} failed: {cause}", where="OpenVINO", remedy="see OpenVINO's message")


def file_computes_otherwise(path: Path, what: str, scored: str, found: str) -> CellError:
    """An exported file is not the model that was scored."""
    return CellError(
        f"the exported model does not compute what was scored: {what}: {scored}, {found}",
        where=path.name,
        remedy="nothing is delivered; please report it with the model",
    )


def model_export_failed(path: Path, cause: str) -> CellError:
    """The best model could not be written."""
    return CellError(f"cannot write the model {path}: {cause}", where="reports", remedy="free disk space, run again")
