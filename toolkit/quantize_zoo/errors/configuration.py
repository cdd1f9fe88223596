"""Texts that are read: YAML, JSON and what they name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path

from quantize_zoo.errors.kinds import ConfigurationError, nearest
from quantize_zoo.text.paths import why_no_file


def file_missing(path: Path, named_by: str = "", *, beside: bool = True) -> ConfigurationError:
    """A file is not there; ``beside`` the file that names it, or in the working directory, if its path is relative."""
    if instead := why_no_file(path):
        return ConfigurationError(f"{path} is no file: it {instead}", where=named_by, remedy="name a file")
    start = "file naming it" if beside and named_by else "working directory"
    return ConfigurationError(
        f"no such file: {path}", where=named_by, remedy=f"correct the path; a relative one starts at the {start}"
    )


def matrix_gone(path: Path, run_id: str) -> ConfigurationError:
    """The matrix of a stored run was moved or removed."""
    return ConfigurationError(
        f"the matrix that the run {run_id} was made of is not there: {path}",
        where="the store",
        remedy="put it back there with its models and data, or run it where it is now",
    )


def no_program(path: Path, named_by: str) -> ConfigurationError:
    """What should be an interpreter is a file that cannot be executed."""
    return ConfigurationError(
        f"{path} cannot be executed", where=named_by, remedy="name the interpreter of a Python environment: bin/python"
    )


def file_unreadable(path: Path, cause: str) -> ConfigurationError:
    """A file is there and cannot be read as text."""
    return ConfigurationError(f"cannot read {path}: {cause}", remedy="name a readable UTF-8 text file")


def empty_file(where: str) -> ConfigurationError:
    """A file says nothing."""
    return ConfigurationError("the file is empty", where=where, remedy="write it, or name another")


def no_text(what: str, value: str) -> ConfigurationError:
    """What the command is given is not UTF-8."""
    return ConfigurationError(f"{value!a} is not UTF-8", where=what, remedy="rename it, or name a link to it")


def empty_argument(before: str) -> ConfigurationError:
    """The command line has an empty argument, as a shell makes it of a variable that is not set."""
    return ConfigurationError(
        "an argument is empty",
        where=before or "command line",
        remedy="give it, or leave the option out; in a shell see that its variable is set",
    )


def no_working_folder(cause: str) -> ConfigurationError:
    """Relative paths have nowhere to start."""
    return ConfigurationError(f"the working folder cannot be found: {cause}", remedy="change to one that is there")


def yaml_syntax(where: str, problem: str, remedy: str = "correct the line named above") -> ConfigurationError:
    """The file is not YAML, or makes more than plain values."""
    return ConfigurationError(f"YAML syntax error: {problem}", where=where, remedy=remedy)


def too_much(where: str, problem: str, remedy: str) -> ConfigurationError:
    """A text is larger, deeper or has longer numbers than a configuration has."""
    return ConfigurationError(f"beyond what is read: {problem}", where=where, remedy=remedy)


def no_matrix_to_waive(path: Path) -> ConfigurationError:
    """A waiver can only stand in a matrix."""
    return ConfigurationError(
        "it is no matrix, so that no waiver can stand in it",
        where=str(path),
        remedy="write a matrix that names the model: 'models: [...]' and 'devices: [...]'",
    )


def matrix_unwritable(path: Path, cause: str) -> ConfigurationError:
    """A waiver could not be written."""
    return ConfigurationError(f"the matrix cannot be written: {cause}", where=str(path), remedy="make it writable")


def matrix_not_kept(path: Path, cause: str) -> ConfigurationError:
    """A waiver cannot be added so that all else stays as it is."""
    return ConfigurationError(
        f"the waiver cannot be added without changing the rest of the file: {cause}",
        where=str(path),
        remedy="add it by hand, below 'waivers:'",
    )


def unknown_waived(what: str, name: str, known: Iterable[str]) -> ConfigurationError:
    """A waiver names what the matrix does not have, or what is not checked."""
    return ConfigurationError(f"there is no {what} {name!r}", where=what.upper(), remedy=nearest(name, known))


def waiver_without_reason() -> ConfigurationError:
    """Whoever reads the report must know why."""
    return ConfigurationError("a waiver has a reason", where="--reason", remedy="say why, such as a ticket")


def waiver_is_over(until: date) -> ConfigurationError:
    """A waiver that never holds would be taken for one that does."""
    return ConfigurationError(f"{until} is over", where="--until", remedy="name today or a later day")


def json_syntax(where: str, problem: str, remedy: str) -> ConfigurationError:
    """The file is not JSON, not even with comments."""
    return ConfigurationError(f"JSON syntax error: {problem}", where=where, remedy=remedy)


def another_kind_of_file(where: str, found: str, wanted: str, remedy: str) -> ConfigurationError:
    """A file is of another kind than what it is named as; ``remedy`` is what is done with such a file."""
    return ConfigurationError(f"this is {found}, no {wanted}", where=where, remedy=remedy)


def bad_pot_usage(what: str, remedy: str) -> ConfigurationError:
    """The options of ``pot`` do not go together."""
    return ConfigurationError(what, where="pot", remedy=remedy)


def no_listed_picture(where: str, line: str, *, labelled: bool) -> ConfigurationError:
    """A line of a list of pictures names no file; it may have a label behind the name."""
    return ConfigurationError(
        f"there is no file {line!r}",
        where=where,
        remedy="a line is the name of a picture and nothing else, such as a label: remove what follows it"
        if labelled
        else "a line is the name of a picture, relative to the list's folder",
    )


def pot_unsupported(where: str, what: str, remedy: str) -> ConfigurationError:
    """A POT configuration asks for what is not here."""
    return ConfigurationError(what, where=where, remedy=remedy)


def duplicate_key(where: str, key: str) -> ConfigurationError:
    """A mapping names one key twice; YAML would keep the last one silently."""
    return ConfigurationError(f"key {key!r} appears twice", where=where, remedy="remove one of the two")


def unknown_key(where: str, key: str, known: Iterable[str]) -> ConfigurationError:
    """A key that the schema does not have."""
    return ConfigurationError(f"unknown key {key!r}", where=where, remedy=nearest(key.rsplit(".", 1)[-1], known))


def bad_value(where: str, key: str, value: object, problem: str) -> ConfigurationError:
    """A value of the wrong type or outside what is allowed."""
    return ConfigurationError(f"{key}: {problem}, not {value!r}", where=where, remedy="correct the value")


def bad_mapping(where: str, key: str, problem: str) -> ConfigurationError:
    """The values of a mapping do not go together; which is said without showing all of them."""
    return ConfigurationError(f"{key}: {problem}", where=where, remedy="correct one of them")


def unknown_value(where: str, key: str, value: str, known: Iterable[str]) -> ConfigurationError:
    """A name that is not among those that the key takes."""
    return ConfigurationError(f"{key}: unknown value {value!r}", where=where, remedy=nearest(value, known))


def named_twice(where: str, key: str, value: str) -> ConfigurationError:
    """Two entries of a file are about the same thing, and only one of them can hold."""
    return ConfigurationError(f"{key}: {value} is named twice", where=where, remedy="remove one of the two")


def not_compressible(where: str, key: str, kind: str, known: Iterable[str]) -> ConfigurationError:
    """Compressed weights of a type of operation that never has any."""
    return ConfigurationError(
        f"{key}: no {kind} has weights that can be stored compressed",
        where=where,
        remedy=f"types that have: {', '.join(sorted(known))}",
    )


def no_hardware(where: str, error: ConfigurationError) -> ConfigurationError:
    """What should be a hardware configuration is another file."""
    told = f"{error.where}: {error.what}" if error.where else error.what
    return ConfigurationError(f"it names no hardware configuration: {told}", where=where, remedy=error.remedy)


def unknown_device(where: str, device: str, part: str, known: Iterable[str]) -> ConfigurationError:
    """A device that no plugin of OpenVINO has by name, on no machine."""
    within = f", in {device!r}" if part != device else ""
    return ConfigurationError(
        f"OpenVINO has no device {part!r}{within}", where=where, remedy=nearest(part.partition(".")[0], known)
    )


def device_list(where: str, device: str, problem: str, remedy: str) -> ConfigurationError:
    """A device that stands on others, which it does not list as OpenVINO takes them."""
    return ConfigurationError(f"device {device!r} {problem}", where=where, remedy=remedy)


def unknown_property(where: str, key: str, device: str, name: str, known: Iterable[str]) -> ConfigurationError:
    """A device's plugin has no property of this name, or none that can be set."""
    return ConfigurationError(
        f"{key}: {device} has no property {name!r} that can be set", where=where, remedy=nearest(name, known)
    )


def property_refused(where: str, key: str, device: str, value: object, cause: str) -> ConfigurationError:
    """A device's plugin does not take the value of a property; ``cause`` is what it says."""
    return ConfigurationError(
        f"{key}: {device} does not take {value!r}: {cause}", where=where, remedy="correct the value"
    )


def missing_key(where: str, key: str) -> ConfigurationError:
    """A required key is absent."""
    return ConfigurationError(f"key {key!r} is missing", where=where, remedy="add it")


def unknown_model_name(name: str, known: Iterable[str]) -> ConfigurationError:
    """``--models`` names what the matrix does not have."""
    return ConfigurationError(f"the matrix has no model {name!r}", where="--models", remedy=nearest(name, known))


def duplicate_model_name(where: str, name: str) -> ConfigurationError:
    """Two models of a matrix share a name, which would mix up their cells."""
    return ConfigurationError(f"two models are named {name!r}", where=where, remedy="give each model a name of its own")


def same_cell(first: str, second: str, name: str) -> ConfigurationError:
    """Two entries make one cell, which would mix up their results."""
    return ConfigurationError(
        f"the same cell {name!r} as by {first}", where=second, remedy="remove one of the two, or tell them apart"
    )


def checker_configuration(where: str, cause: str, remedy: str) -> ConfigurationError:
    """The accuracy checker's own validation refuses its part of the configuration."""
    return ConfigurationError(f"accuracy checker configuration: {cause}", where=where, remedy=remedy)


def no_adapter(where: str) -> ConfigurationError:
    """Nothing makes predictions of the model's outputs, which metrics take."""
    return ConfigurationError(
        "the launcher names no adapter, so that no metric can read the model's outputs",
        where=where,
        remedy="add the one of the model's task, such as 'adapter: classification'",
    )


def no_metrics(where: str, dataset: str) -> ConfigurationError:
    """A dataset has nothing that could be tuned on."""
    return ConfigurationError(
        f"dataset {dataset!r} names no metric", where=where, remedy="add it, as in 'metrics: [{type: accuracy}]'"
    )


def unknown_metric(where: str, metric: str, known: Iterable[str]) -> ConfigurationError:
    """``metric`` is not among those of the accuracy checker's configuration."""
    return ConfigurationError(
        f"metric {metric!r} is not in the accuracy checker's configuration", where=where, remedy=nearest(metric, known)
    )


def unknown_dataset(where: str, name: str, known: Iterable[str]) -> ConfigurationError:
    """``dataset`` is not among those of the accuracy checker's configuration."""
    return ConfigurationError(
        f"dataset {name!r} is not in the accuracy checker's configuration", where=where, remedy=nearest(name, known)
    )


def unknown_checker_name(where: str, kind: str, name: str, known: Iterable[str]) -> ConfigurationError:
    """The accuracy checker has no converter, adapter, metric, ... of this name."""
    return ConfigurationError(f"the accuracy checker has no {kind} {name!r}", where=where, remedy=nearest(name, known))


def bad_checker_value(where: str, key: str, value: object, problem: str) -> ConfigurationError:
    """A value that a part of the accuracy checker does not take; ``problem`` is what the checker says."""
    return ConfigurationError(f"{key} is {value!r}: {problem}", where=where, remedy="correct the value")


def missing_checker_key(where: str, part: str, key: str, meaning: str = "") -> ConfigurationError:
    """A part of the accuracy checker's configuration lacks a key."""
    return ConfigurationError(f"{part} needs {key!r}", where=where, remedy=f"add it{f': {meaning}' if meaning else ''}")


def dataset_without_annotation(where: str, name: str) -> ConfigurationError:
    """Nothing says what is right; the definitions may have been meant to."""
    return ConfigurationError(
        f"dataset {name!r} is not in the definitions, and names no annotation itself",
        where=where,
        remedy="add annotation_conversion, or annotation, or name the definitions that have it with --definitions",
    )


def meta_not_read(where: str) -> ConfigurationError:
    """The checker reads ``dataset_meta`` with a converted annotation, and writes it with one."""
    return ConfigurationError(
        "dataset_meta is not read: it belongs to a converted annotation, and the dataset names none",
        where=where,
        remedy="name the file as dataset_meta_file in annotation_conversion, or name the annotation that it belongs to",
    )


def same_metric_names(where: str, name: str) -> ConfigurationError:
    """Two metrics of a dataset share a name, by which their values are known."""
    return ConfigurationError(
        f"two metrics are named {name!r}", where=where, remedy="give each metric a 'name' of its own"
    )


def data_missing(path: Path, where: str, key: str) -> ConfigurationError:
    """A file or folder that the accuracy checker's configuration names is not there."""
    return ConfigurationError(
        f"{key}: there is no {path}",
        where=where,
        remedy="correct the path; a relative one starts at the accuracy checker's configuration (for POT's command at "
        "the working directory), or where 'paths' or DATA_DIR and ANNOTATIONS_DIR say",
    )


def other_framework(where: str, frameworks: Iterable[str]) -> ConfigurationError:
    """The checker's configuration is for another framework than OpenVINO."""
    return ConfigurationError(
        f"the accuracy checker's configuration is for another framework: {', '.join(frameworks)}",
        where=where,
        remedy="add a launcher with 'framework: openvino', and see that layouts and names of outputs are OpenVINO's",
    )


def outputs_to_add(where: str, names: Iterable[str], outputs: Iterable[str]) -> ConfigurationError:
    """The launcher's ``outputs`` would add outputs to the model, which is exported as it is."""
    listed = ", ".join(map(repr, names))
    return ConfigurationError(
        f"'outputs' of the launcher adds {listed} to the model's outputs, which are {', '.join(outputs)}",
        where=where,
        remedy="write the model with these outputs, so that it is what is deployed: model.add_outputs(...), then "
        "openvino.save_model",
    )


def not_ready(where: str, what: str, remedy: str) -> ConfigurationError:
    """Looking at a model and its data found what would end its cells."""
    return ConfigurationError(what, where=where, remedy=remedy)


def custom_evaluator(where: str, problem: str) -> ConfigurationError:
    """A custom evaluator of the checker's whose networks cannot be exchanged; ``problem`` names it and says why."""
    return ConfigurationError(
        f"no network can be exchanged: {problem}",
        where=where,
        remedy="describe the one network to quantize under 'models', with launchers and datasets; or quantize it "
        "without an accuracy: quantize-zoo pot -q default --engine simplified --data-source PICTURES -m MODEL.xml",
    )


def fleet_as_device(where: str, name: str) -> ConfigurationError:
    """A fleet's name where a device of OpenVINO's has to be."""
    return ConfigurationError(
        f"{name} is a fleet of this matrix, and no device that another entry can have",
        where=where,
        remedy="remove it: a fleet is run where its members are listed; or list the devices that are meant",
    )


def not_for_a_fleet(where: str, model: str, fleet: str, what: str) -> ConfigurationError:
    """A model of a fleet whose members cannot be processes of their own."""
    return ConfigurationError(
        f"{model} cannot be of the fleet {fleet!r}: {what} feeds the network with what it answered before, and members "
        "run in processes of their own",
        where=where,
        remedy="name the fleet's other models under its 'models', and give this one a cell for each device",
    )


def network_not_named(where: str, files: Mapping[str, object]) -> ConfigurationError:
    """A custom evaluator has several networks, and it is not clear which of them is the model."""
    listed = ", ".join(f"{name} ({file or 'without a file'})" for name, file in files.items()) or "none"
    return ConfigurationError(
        f"network_info has the networks {listed}, and not one of them is the model to quantize",
        where=where,
        remedy="name the files of all others with 'model', and leave it out for the one that is quantized",
    )


def would_overwrite(path: Path) -> ConfigurationError:
    """``init`` would write over a file."""
    return ConfigurationError(f"{path} is there already", remedy="remove or rename it; init overwrites nothing")
