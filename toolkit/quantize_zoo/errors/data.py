"""Datasets, samples, and what the accuracy checker says of them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from quantize_zoo.errors.kinds import CellError, ConfigurationError, nearest

_OF_MODULES = {"skimage": "scikit-image", "yaml": "pyyaml", "cv2": "opencv-python", "kenlm": "pypi-kenlm"}


def empty_dataset(where: str) -> CellError:
    """The annotation has no samples."""
    return CellError("the dataset is empty: no annotated sample", where=where, remedy="check the annotation file")


def two_labels(identifier: str, first: str, second: str) -> CellError:
    """The annotation contradicts itself."""
    return CellError(
        f"sample {identifier!r} is annotated twice, with label {first} and with label {second}",
        where="dataset",
        remedy="correct the annotation file",
    )


def sample_empty(identifier: str) -> CellError:
    """A reader found nothing in a sample's file, and said nothing."""
    return CellError(
        f"sample {identifier!r} cannot be read: the reader finds no picture in its file",
        where="dataset",
        remedy="see whether the file is empty, cut short or of another format; on_bad_sample: skip leaves such out",
    )


def sample_unreadable(identifier: str, cause: str, reader: str = "") -> CellError:
    """An annotated sample cannot be read or preprocessed."""
    return CellError(
        f"sample {identifier!r} cannot be read: {cause}",
        where="dataset",
        remedy="check data_source and that every annotated file is there"
        f"{f', and is one that the data reader {reader!r} reads' if reader else ''}",
    )


def preprocessing_failed(name: str, identifier: str, cause: str) -> CellError:
    """A step of the checker's preprocessing does not take a sample."""
    return CellError(
        f"preprocessor {name!r} fails for sample {identifier!r}: {cause}",
        where="preprocessing",
        remedy="correct its parameters, or the steps before it; it must suit what the reader gives",
    )


def all_samples_bad(identifiers: Iterable[str]) -> CellError:
    """``on_bad_sample: skip`` left nothing."""
    return CellError(
        f"no sample of the dataset can be read; the first are {', '.join(identifiers)}",
        where="dataset",
        remedy="check data_source; on_bad_sample: fail tells the cause",
    )


def other_output(adapter: str, read: str, outputs: Iterable[str], how_to_choose: str) -> str:
    """What to do first where a model has several outputs, and the one that is read does not fit."""
    return (
        f"adapter {adapter!r} reads {read!r} of the model's outputs {', '.join(outputs)}; {how_to_choose}; "
        "if that is the right one, "
    )


def label_out_of_range(identifier: str, label: int, classes: int, outputs: str = "") -> CellError:
    """An annotation has a class that the model has no output for; ``outputs`` is what ``other_output`` says."""
    return CellError(
        f"sample {identifier!r} has label {label}, and the model has {classes} classes (0 to {classes - 1})",
        where="accuracy checker" if outputs else "dataset",
        remedy=f"{outputs}correct the annotation, or shift labels with the converter's options (has_background, "
        "label_start)",
    )


def inputs_do_not_fit(folder: Path, wanted: int, free: int) -> CellError:
    """The preprocessed inputs are more than the memory budget and the disk together take."""
    return CellError(
        f"the preprocessed inputs take {wanted / 1e9:.1f} GB, and the disk of {folder} has {free / 1e9:.1f} GB free",
        where="dataset",
        remedy="free disk space, or use a part of the data with subsample_size",
    )


def inputs_unwritable(folder: Path, cause: str) -> CellError:
    """The file for preprocessed inputs cannot be made."""
    return CellError(
        f"cannot keep preprocessed inputs in {folder}: {cause}", where="dataset", remedy="make the folder writable"
    )


def dataset_unusable(
    cause: str, place: str = "", where: str = "dataset", key: str = "annotation_conversion"
) -> CellError:
    """The annotation cannot be converted or read, which the key names; ``place`` is where that stopped, if known."""
    return CellError(
        f"the dataset cannot be read: {f'{place}: ' if place else ''}{cause}",
        where=where,
        remedy="correct what stands there, or name with annotation_conversion what its converter reads"
        if place
        else f"check {key}, and {'the files' if key == 'annotation_conversion' else 'the file'} that it names",
    )


def no_annotations(path: str, kind: str, where: str) -> CellError:
    """What is named as a converted annotation has something else in it."""
    return CellError(
        f"{path} holds something of type {kind} where the accuracy checker writes annotations of samples",
        where=where,
        remedy="name a file that the accuracy checker has converted, or with annotation_conversion what to convert",
    )


def part_unusable(part: str, cause: str, where: str) -> ConfigurationError:
    """A part of the checker's configuration does not take what it is told."""
    return ConfigurationError(f"{part} cannot be used: {cause}", where=where, remedy="correct its parameters")


def package_missing(part: str, package: str, where: str) -> ConfigurationError:
    """A part of the checker's needs a Python package that it does not bring along."""
    name = _OF_MODULES.get(package, package)
    return ConfigurationError(
        f"{part} needs the Python package {name}, which is not installed",
        where=where,
        remedy=f"install it in this Python environment: pip install {name}",
    )


def no_names_of_classes(part: str, where: str = "accuracy checker") -> ConfigurationError:
    """A part asks for the names of classes, and the dataset has none."""
    return ConfigurationError(
        f"{part} needs the names of the dataset's classes, and there are none",
        where=where,
        remedy="name a file that has them (label_map or labels): dataset_meta_file in annotation_conversion, or "
        "dataset_meta of a converted annotation",
    )


_FOLDERS = (
    "the dataset names the folder of such files: segmentation_masks_source for masks, additional_data_source for "
    "others, without which they are looked for in data_source"
)


def annotation_file_unreadable(part: str, sample: str, cause: str) -> CellError:
    """A part opens a file of a sample's annotation, such as a mask, and it is not there, or is none."""
    return CellError(
        f"{part} cannot read the annotation of sample {sample!r}: {cause}",
        where="dataset",
        remedy=f"see that the file can be read; {_FOLDERS}",
    )


def annotation_of_another_shape(metric: str, sample: str, shapes: str) -> CellError:
    """What a sample's annotation says, often a file of its own, and what the model answers cannot be compared."""
    return CellError(
        f"metric {metric!r} cannot compare annotation and prediction of sample {sample!r}, whose shapes are {shapes}",
        where="dataset",
        remedy=f"where the annotation is a file, see that it is the right one: {_FOLDERS}; else correct the adapter or "
        "the postprocessing",
    )


def too_few_classes(metric: str, count: int, classes: int, outputs: str = "") -> CellError:
    """A metric looks at more of the best classes than there are; ``outputs`` is what ``other_output`` says."""
    return CellError(
        f"metric {metric!r} looks at the best {count} classes, and the model has {classes}",
        where="accuracy checker" if outputs else "metrics",
        remedy=f"{outputs}set top_k to {classes} or less",
    )


def no_images(folder: Path) -> CellError:
    """The simplified engine's folder has no image that can be read."""
    return CellError(
        f"no readable image in {folder}",
        where="engine",
        remedy="name a folder of png, jpg or bmp files as data_source",
        keys=("data_source",),
    )


def not_an_image_model(problem: str, key: str) -> CellError:
    """The engines simplified and data_free feed images; this model takes something else, for what the key says."""
    return CellError(
        f"the engines simplified and data_free feed images: {problem}",
        where="engine",
        remedy="use the accuracy_checker engine, which knows how to feed this model",
        keys=(key,),
    )


def not_the_models_shape(given: str, shape: str) -> CellError:
    """The shape of data_free is none that the model's input can have; ``given`` is what it is, or has."""
    return CellError(
        f"engine.shape {given}, which the model's input {shape} cannot have",
        where="engine",
        remedy="correct it, or leave it out: it gives sizes to what the model leaves open",
        keys=("shape",),
    )


def shape_of_several(given: str) -> CellError:
    """The shape of data_free is that of several pictures."""
    return CellError(
        f"engine.shape is {given}, and pictures are fed one at a time",
        where="engine",
        remedy="set its first size to 1",
        keys=("shape",),
    )


def adapter_failed(
    adapter: str, outputs: Iterable[str], sample: str, cause: str, keys: Iterable[str] = ()
) -> CellError:
    """The checker's adapter does not take the model's outputs; ``keys`` are its parameters that name some."""
    named = ", ".join(keys)
    return CellError(
        f"adapter {adapter!r} does not fit the model's outputs ({', '.join(outputs)}) for sample {sample!r}: {cause}",
        where="accuracy checker",
        remedy="name the adapter that fits"
        f"{f', or with {named} of this one the outputs that it is to read' if named else ''}",
    )


def no_such_output(adapter: str, name: str, outputs: Iterable[str]) -> CellError:
    """The checker's adapter asks for an output that the model does not have."""
    return CellError(
        f"adapter {adapter!r} asks for the output {name!r}, which the model does not have",
        where="accuracy checker",
        remedy=nearest(name, outputs),
    )


def postprocessing_failed(step: str, identifier: str, cause: str) -> CellError:
    """The checker's postprocessing does not take what the adapter made of the outputs; the step may be unknown."""
    what = f"postprocessor {step!r}" if step else "postprocessing"
    return CellError(
        f"{what} fails for sample {identifier!r}: {cause}",
        where="postprocessing",
        remedy="correct 'postprocessing' of the dataset: its steps must be those of the adapter's task",
    )


def inputs_not_told_apart(identifier: str, cause: str) -> CellError:
    """The launcher's configuration does not say which data of a sample an input takes."""
    return CellError(
        f"the model's inputs cannot be filled from sample {identifier!r}: {cause}",
        where="accuracy checker",
        remedy="say with 'inputs' of the launcher which data each input takes: name, type INPUT, and a value that "
        "matches their file names",
    )


def metric_not_scalar(metric: str, values: Iterable[str]) -> CellError:
    """A metric without one number cannot be tuned; one of its values can."""
    known = list(values)
    listed = ", ".join(known)
    return CellError(
        f"metric {metric!r} gives no single number{f', but {listed}' if known else ''}",
        where="metrics",
        remedy=f"tune one of its values: {nearest(metric, known)}; or another metric",
    )


def metric_of_another_task(metric: str, kind: str, wanted: Iterable[str], given: str) -> CellError:
    """A metric takes other annotations or predictions (the kind) than there are; named as the checker's classes."""
    source = "annotation_conversion makes" if kind == "annotation" else "the adapter makes"
    return CellError(
        f"metric {metric!r} takes {' or '.join(wanted)}, and {source} {given}",
        where="metrics",
        remedy="name a metric of the data's task, or the converter and the adapter of the metric's",
    )


def metric_failed(metrics: Iterable[str], cause: str, sample: str = "") -> CellError:
    """The checker's metrics refuse the annotation or the prediction, of all samples or of one."""
    return CellError(
        f"computing the metrics ({', '.join(metrics)}) failed{f' for sample {sample!r}' if sample else ''}: {cause}",
        where="accuracy checker",
        remedy="the annotation's task, the adapter's and the metric's must be the same; where it is of one sample, see "
        "that the file of its annotation can be read",
    )


def evaluator_failed(module: str, cause: str) -> CellError:
    """A custom evaluator of the checker's does not get through its data."""
    return CellError(
        f"the custom evaluator {module} failed: {cause}",
        where="accuracy checker",
        remedy="see that it runs with the accuracy checker's own command, on the same networks and data",
    )


def network_never_run(module: str) -> CellError:
    """A custom evaluator reads all samples without ever asking the model to be quantized."""
    return CellError(
        f"the custom evaluator {module} never runs the network to quantize on these data",
        where="accuracy checker",
        remedy="see that its data are enough, such as num_processing_frames frames for a decoder",
    )


def evaluator_needs_the_network(module: str) -> CellError:
    """Another interpreter cannot stand in for a network that a custom evaluator runs."""
    return CellError(
        f"the custom evaluator {module} runs the network itself, so that it cannot be scored under another release",
        where="runtimes",
        remedy="take 'runtimes' out of the matrix, or compare the model on data of its own",
    )


def fed_with_answers(what: str) -> CellError:
    """A network cannot be run by another process: what it is fed depends on what it answered."""
    return CellError(
        f"{what} feeds the network with what it answered before, so that it runs in the cell's own environment only",
        where="environments",
        remedy="give each environment a cell of its own (devices of the matrix with isa and inference_precision)",
    )


def metric_not_a_number(metric: str, value: float, samples: str) -> CellError:
    """The tuned metric of a finished model is NaN or infinite."""
    return CellError(
        f"{metric} is {value} on {samples}, which is no number",
        where="accuracy checker",
        remedy="see that the metric is defined on so few samples: another holdout, or holdout: 0",
    )


def fp32_metric_unusable(metric: str, value: float, samples: int | None = None) -> CellError:
    """A relative accuracy loss needs an FP32 value other than zero; ``samples`` is how many were scored."""
    if value == 0:
        remedy = (
            "see that labels begin where the model's do (has_background, label_start), that channels, mean and scale "
            "are those it was trained with (bgr_to_rgb, normalization), and that the adapter reads the right output; "
            "or tune a metric that is not 0 on few samples"
        )
    else:
        remedy = "see that the annotation has what the metric counts, such as every class; or tune another metric"
    return CellError(
        f"the FP32 model's {metric} is {value}{f' on {samples} samples' if samples else ''}; a relative accuracy loss "
        "cannot be computed",
        where="accuracy checker",
        remedy=remedy,
    )
