"""Every error that a user can meet: what is wrong, where, and what to do.

The other modules raise what the functions here return, so that all messages can be read in one place. An error crosses
from a cell's process to the main one as its three texts.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path


class QuantizeZooError(Exception):
    """A failure with its remedy; ``str()`` is the message for the terminal."""

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        super().__init__(what, where, remedy)
        self.what = what
        self.where = where
        self.remedy = remedy

    def __str__(self) -> str:
        located = f"{self.where}: {self.what}" if self.where else self.what
        return f"{located}\n  -> {self.remedy}" if self.remedy else located

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.what, self.where, self.remedy)


def _rebuild(kind: type[QuantizeZooError], what: str, where: str, remedy: str) -> QuantizeZooError:
    return kind(what, where=where, remedy=remedy)


class ConfigurationError(QuantizeZooError):
    """Bad usage or configuration: nothing was run (exit status 2)."""


class DeviceUnavailableError(QuantizeZooError):
    """The machine has no such device: the cell is reported as unavailable."""


class CellError(QuantizeZooError):
    """A cell cannot go on; the others do (exit status 3)."""


class WorkerDiedError(CellError):
    """The cell's process is gone: nothing more can be evaluated in this cell."""


def nearest(wrong: str, known: Iterable[str]) -> str:
    """Say what is known, the nearest name first if there is one."""
    names = sorted(known)
    close = difflib.get_close_matches(wrong, names, n=1, cutoff=0.6)
    listed = ", ".join(names) if names else "none"
    return f"did you mean {close[0]!r}? known: {listed}" if close else f"known: {listed}"


def message_of(error: Exception) -> str:
    """Return the last line of an OpenVINO error: the ones before it name the source that threw."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


# --- configuration -----------------------------------------------------------------------------------------------


def file_missing(path: Path, named_by: str = "") -> ConfigurationError:
    """A file that a configuration or the command line names is not there."""
    return ConfigurationError(
        f"no such file: {path}", where=named_by, remedy="correct the path; a relative one starts at the file naming it"
    )


def file_unreadable(path: Path, cause: str) -> ConfigurationError:
    """A file is there and cannot be read as text."""
    return ConfigurationError(f"cannot read {path}: {cause}", remedy="name a readable UTF-8 text file")


def yaml_syntax(where: str, problem: str) -> ConfigurationError:
    """The file is not YAML."""
    return ConfigurationError(f"YAML syntax error: {problem}", where=where, remedy="correct the line named above")


def json_syntax(where: str, problem: str) -> ConfigurationError:
    """The file is not JSON, not even with comments."""
    return ConfigurationError(f"JSON syntax error: {problem}", where=where, remedy="correct the line named above")


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


def unknown_value(where: str, key: str, value: str, known: Iterable[str]) -> ConfigurationError:
    """A name that is not among those that the key takes."""
    return ConfigurationError(f"{key}: unknown value {value!r}", where=where, remedy=nearest(value, known))


def missing_key(where: str, key: str) -> ConfigurationError:
    """A required key is absent."""
    return ConfigurationError(f"key {key!r} is missing", where=where, remedy="add it")


def unknown_model_name(name: str, known: Iterable[str]) -> ConfigurationError:
    """``--models`` names what the matrix does not have."""
    return ConfigurationError(f"the matrix has no model {name!r}", where="--models", remedy=nearest(name, known))


def duplicate_model_name(where: str, name: str) -> ConfigurationError:
    """Two models of a matrix share a name, which would mix up their cells."""
    return ConfigurationError(f"two models are named {name!r}", where=where, remedy="give each model a name of its own")


def checker_configuration(where: str, cause: str) -> ConfigurationError:
    """The accuracy checker's own validation refuses its part of the configuration."""
    return ConfigurationError(
        f"accuracy checker configuration: {cause}", where=where, remedy="see the accuracy checker's documentation"
    )


def unknown_metric(where: str, metric: str, known: Iterable[str]) -> ConfigurationError:
    """``metric`` is not among those of the accuracy checker's configuration."""
    return ConfigurationError(
        f"metric {metric!r} is not in the accuracy checker's configuration", where=where, remedy=nearest(metric, known)
    )


def would_overwrite(path: Path) -> ConfigurationError:
    """``init`` would write over a file."""
    return ConfigurationError(f"{path} is there already", remedy="remove or rename it; init overwrites nothing")


def no_open_model_zoo() -> ConfigurationError:
    """An ``omz:`` model without openvino-dev."""
    return ConfigurationError(
        "openvino-dev with Open Model Zoo is not installed", remedy="run: quantize-zoo doctor --install-checker"
    )


def unknown_zoo_model(name: str, known: Iterable[str]) -> ConfigurationError:
    """Open Model Zoo has no model of this name."""
    close = difflib.get_close_matches(name, sorted(known), n=3, cutoff=0.5)
    return ConfigurationError(
        f"Open Model Zoo has no model {name!r}",
        where="omz",
        remedy=f"did you mean {', '.join(close)}?" if close else "names are those of omz_info_dumper --print_all",
    )


def zoo_model_without_checker(name: str) -> ConfigurationError:
    """Open Model Zoo has the model and no accuracy-check.yml for it."""
    return ConfigurationError(
        f"Open Model Zoo has no accuracy-check.yml for {name!r}", where="omz", remedy="name one with accuracy_checker"
    )


def zoo_download_failed(name: str, folder: Path, cause: str) -> CellError:
    """omz_downloader failed."""
    return CellError(
        f"downloading {name} failed: {cause}",
        where="Open Model Zoo",
        remedy=f"check the network, or put the model's files into {folder}",
    )


def zoo_conversion_failed(name: str, model: Path, cause: str) -> CellError:
    """omz_converter failed."""
    return CellError(
        f"converting {name} failed: {cause}",
        where="Open Model Zoo",
        remedy=f"convert it with openvino-dev 2023.3 in an environment of its own, and put the IR to {model}",
    )


def unknown_dataset(where: str, name: str, known: Iterable[str]) -> ConfigurationError:
    """``dataset`` is not among those of the accuracy checker's configuration."""
    return ConfigurationError(
        f"dataset {name!r} is not in the accuracy checker's configuration", where=where, remedy=nearest(name, known)
    )


def custom_evaluator(where: str) -> ConfigurationError:
    """The checker's configuration runs a program of its own instead of one model."""
    return ConfigurationError(
        "the accuracy checker's configuration has 'evaluations': a custom evaluator, which runs models of its own",
        where=where,
        remedy="describe the one model to quantize under 'models', with launchers and datasets",
    )


def reports_unwritable(folder: Path, cause: str) -> ConfigurationError:
    """Reports cannot be written where they should."""
    return ConfigurationError(
        f"cannot write reports to {folder}: {cause}", remedy="make the folder writable or name another with --reports"
    )


# --- components --------------------------------------------------------------------------------------------------


def no_accuracy_checker() -> ConfigurationError:
    """None of the three places has an accuracy checker."""
    return ConfigurationError(
        "no accuracy checker is installed",
        remedy="run: quantize-zoo doctor --install-checker (or install Open Model Zoo's accuracy_checker package)",
    )


def checker_broken(origin: str, cause: str) -> ConfigurationError:
    """An accuracy checker is there and cannot be imported."""
    return ConfigurationError(
        f"the accuracy checker from {origin} cannot be imported: {cause}",
        remedy="repair that installation, or run: quantize-zoo doctor --install-checker",
    )


def checker_install_failed(cause: str) -> ConfigurationError:
    """The overlay could not be installed."""
    return ConfigurationError(
        f"installing the accuracy checker failed: {cause}", remedy="check the network and the rights on the folder"
    )


def device_unavailable(device: str, available: Iterable[str]) -> DeviceUnavailableError:
    """OpenVINO does not list the device."""
    return DeviceUnavailableError(
        f"OpenVINO has no device {device} here; its devices: {', '.join(available) or 'none'}",
        remedy="run on a machine with this device, or install its driver",
    )


def no_instruction_set(name: str, available: Iterable[str]) -> DeviceUnavailableError:
    """A CPU cell is to run in an instruction set that this CPU does not have."""
    return DeviceUnavailableError(
        f"this CPU has no {name}; it has: {', '.join(available) or 'none that can be chosen'}",
        remedy="run on a machine whose CPU has it, or name another isa",
    )


def no_nncf() -> ConfigurationError:
    """``references: [nncf]`` without NNCF."""
    return ConfigurationError(
        "references names nncf, which is not installed", remedy="run: pip install 'quantize-zoo[nncf]'"
    )


def reference_failed(name: str, cause: str) -> CellError:
    """Another tool cannot quantize the model."""
    return CellError(
        f"{name} failed: {cause}", where="references", remedy=f"take {name} out of the matrix's references"
    )


# --- data and models ---------------------------------------------------------------------------------------------


def empty_dataset(where: str) -> CellError:
    """The annotation has no samples."""
    return CellError("the dataset is empty: no annotated sample", where=where, remedy="check the annotation file")


def sample_unreadable(identifier: str, cause: str) -> CellError:
    """An annotated sample cannot be read or preprocessed."""
    return CellError(
        f"sample {identifier!r} cannot be read: {cause}",
        where="dataset",
        remedy="check data_source and that every annotated file is there",
    )


def all_samples_bad(identifiers: Iterable[str]) -> CellError:
    """``on_bad_sample: skip`` left nothing."""
    return CellError(
        f"no sample of the dataset can be read; the first are {', '.join(identifiers)}",
        where="dataset",
        remedy="check data_source; on_bad_sample: fail tells the cause",
    )


def label_out_of_range(identifier: str, label: int, classes: int) -> CellError:
    """An annotation has a class that the model has no output for."""
    return CellError(
        f"sample {identifier!r} has label {label}, and the model has {classes} classes (0 to {classes - 1})",
        where="dataset",
        remedy="correct the annotation, or shift labels with the converter's options (has_background, label_start)",
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


def dataset_unusable(cause: str) -> CellError:
    """The annotation cannot be converted."""
    return CellError(f"the dataset cannot be read: {cause}", where="dataset", remedy="check annotation_conversion")


def model_unreadable(path: Path, cause: str) -> CellError:
    """OpenVINO cannot read the model."""
    return CellError(f"OpenVINO cannot read the model: {cause}", where=str(path), remedy="export the model again")


def dynamic_shape(name: str, shape: str) -> CellError:
    """More than the batch is dynamic."""
    return CellError(
        f"input {name!r} has the dynamic shape {shape}; only a dynamic batch is supported",
        where="model",
        remedy="fix the shape when exporting the model",
    )


def dynamic_tensor(operation: str, shape: str) -> CellError:
    """A tensor to quantize has a shape that depends on the data."""
    return CellError(
        f"the output of operation {operation!r} has the dynamic shape {shape}, which cannot be calibrated",
        where="statistics",
        remedy="exclude the operations that it feeds with ignored.scope",
    )


def input_mismatch(name: str, wanted: str, given: str) -> CellError:
    """The preprocessed data do not fit the model."""
    return CellError(
        f"input {name!r} of the model takes {wanted}, the preprocessed data are {given}",
        where="model and dataset",
        remedy="correct the preprocessing (resize, color) or the layout in the accuracy checker's configuration",
    )


def nothing_to_quantize(model: str, hardware: str) -> CellError:
    """No operation of the model is quantizable."""
    return CellError(
        f"model {model!r} has no operation that the hardware configuration {hardware} quantizes",
        where="model",
        remedy="take a model with convolutions or matrix multiplications, or leave it out of the matrix",
    )


def model_skipped(model: str) -> CellError:
    """``ignored: skip_model`` excludes everything."""
    return CellError(
        f"model {model!r} is skipped: ignored.skip_model is true",
        where="compression",
        remedy="leave the model out of the matrix, or remove skip_model",
    )


def unknown_operation(name: str, known: Iterable[str]) -> CellError:
    """``ignored: scope`` names what the model does not have."""
    close = difflib.get_close_matches(name, list(known), n=3, cutoff=0.4)
    return CellError(
        f"ignored.scope: the model has no operation {name!r}",
        where="compression",
        remedy=f"did you mean {', '.join(map(repr, close))}?" if close else "look the names up in the model's IR",
    )


def unknown_operation_type(kind: str, known: Iterable[str]) -> CellError:
    """``ignored: operations`` names a type that nothing has."""
    return CellError(f"ignored.operations: unknown type {kind!r}", where="compression", remedy=nearest(kind, known))


def not_in_hardware(what: str, target: str, known: Iterable[str]) -> CellError:
    """An override asks for what the hardware configuration lists for no operation."""
    return CellError(
        f"{what} is not in the hardware configuration {target}",
        where="compression",
        remedy=f"it has: {', '.join(known)}; or name another configuration with compression.hardware",
    )


def already_quantized(model: str) -> CellError:
    """The model has FakeQuantize operations before tuning."""
    return CellError(
        f"model {model!r} is quantized already: it has FakeQuantize operations",
        where="model",
        remedy="name the FP32 model that it was made from",
    )


def no_images(folder: Path) -> CellError:
    """The simplified engine's folder has no image that can be read."""
    return CellError(
        f"no readable image in {folder}", where="engine", remedy="name a folder of png, jpg or bmp files as data_source"
    )


def not_an_image_model(problem: str) -> CellError:
    """The simplified engine feeds images; this model takes something else."""
    return CellError(
        f"the simplified engine feeds images: {problem}",
        where="engine",
        remedy="use the accuracy_checker engine, which knows how to feed this model",
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


def adapter_failed(adapter: str, outputs: Iterable[str], cause: str) -> CellError:
    """The checker's adapter does not take the model's outputs."""
    return CellError(
        f"adapter {adapter!r} does not fit the model's outputs ({', '.join(outputs)}): {cause}",
        where="accuracy checker",
        remedy="name the adapter that fits, or its output options, in the accuracy checker's configuration",
    )


def metric_not_scalar(metric: str) -> CellError:
    """A metric without one number cannot be tuned."""
    return CellError(
        f"metric {metric!r} gives no single number", where="accuracy checker", remedy="set calculate_mean for it"
    )


def metric_failed(metrics: Iterable[str], cause: str) -> CellError:
    """The checker's metrics refuse the annotation or the prediction."""
    return CellError(
        f"computing the metrics ({', '.join(metrics)}) failed: {cause}",
        where="accuracy checker",
        remedy="the annotation's task, the adapter's and the metric's must be the same",
    )


def fp32_metric_unusable(metric: str, value: float) -> CellError:
    """A relative accuracy loss needs an FP32 value other than zero."""
    return CellError(
        f"the FP32 model's {metric} is {value}; a relative accuracy loss cannot be computed",
        where="accuracy checker",
        remedy="check labels, preprocessing and adapter: the FP32 model must score above zero",
    )


def inference_failed(what: str, cause: str) -> CellError:
    """OpenVINO refuses to compile or to infer."""
    return CellError(f"{what} failed: {cause}", where="OpenVINO", remedy="see OpenVINO's message")


# --- searches that go on ------------------------------------------------------------------------------------------


def other_search(method: str, differences: Iterable[str]) -> CellError:
    """The stored search is of something else."""
    return CellError(
        f"{method} cannot go on with the stored search, which differs in: {'; '.join(differences)}",
        where="trials_load_method",
        remedy="restore what differs, or start over with cold_start",
    )


def nothing_stored(method: str) -> CellError:
    """There is no search whose best model could be rebuilt."""
    return CellError(
        f"{method} needs a stored search of this model on this device, and there is none",
        where="trials_load_method",
        remedy="run with cold_start first, or name the store that has the search with --store",
    )


# --- comparisons -------------------------------------------------------------------------------------------------


def model_vanished(path: Path) -> CellError:
    """A model that a comparison needs is not there."""
    return CellError(
        f"the model {path} is not there", where="gate", remedy="restore the file, or accept a new baseline"
    )


def answers_unreadable(path: Path, cause: str) -> CellError:
    """The file with a baseline's answers is missing or damaged."""
    return CellError(
        f"the baseline's answers in {path} cannot be read: {cause}", where="gate", remedy="accept a new baseline"
    )


def runtime_died(python: Path, cause: str) -> CellError:
    """The process of one side ended without an answer."""
    return CellError(
        f"the process of {python} ended: {cause}",
        where="gate",
        remedy="check that this interpreter has openvino and numpy, and that there is memory enough",
    )


def runtime_hangs(python: Path, command: str, seconds: float) -> CellError:
    """The process of one side does not answer."""
    return CellError(
        f"the process of {python} has not answered {command!r} for {seconds:g} s",
        where="gate",
        remedy="look at what the device is doing; the other cells go on",
    )


def runtime_refused(what: str, cause: str) -> CellError:
    """One side cannot load or run its model."""
    return CellError(f"running {what} failed: {cause}", where="gate", remedy="see OpenVINO's message")


def other_baseline(differences: Iterable[str]) -> CellError:
    """The baseline is of something else."""
    return CellError(
        f"the baseline is of something else: {'; '.join(differences)}",
        where="gate",
        remedy="restore what differs, or accept a new baseline",
    )


def nothing_to_accept(name: str, status: str) -> ConfigurationError:
    """A cell that is to be accepted has no finished model."""
    return ConfigurationError(
        f"cell {name} has nothing to accept: it is {status}", where="baseline", remedy="name other cells with --cells"
    )


def nothing_in_common(first: str, second: str) -> ConfigurationError:
    """Two runs without a cell that both finished."""
    return ConfigurationError(
        f"runs {first} and {second} have no finished cell in common", where="compare", remedy="name other runs"
    )


def unknown_cell(name: str, known: Iterable[str]) -> ConfigurationError:
    """A cell that is not there."""
    return ConfigurationError(f"there is no cell {name!r}", where="--cells", remedy=nearest(name, known))


def unknown_trial(cell: str, number: int, count: int) -> ConfigurationError:
    """``export`` names a trial that is not there."""
    have = f"it has 0 to {count - 1}" if count else "it has none"
    return ConfigurationError(f"{cell} has no trial {number}", where="--trial", remedy=f"name another one: {have}")


def nothing_to_export(cell: str) -> ConfigurationError:
    """``export`` of a cell without a best model."""
    return ConfigurationError(
        f"{cell} has no best model: the cell did not finish", where="export", remedy="name a trial with --trial"
    )


def run_files_missing(path: Path) -> ConfigurationError:
    """A stored run whose files are gone."""
    return ConfigurationError(
        f"{path} is not there: the run's files were removed", where="baseline", remedy="run the cell again"
    )


def baseline_changed(path: Path) -> ConfigurationError:
    """The model that a baseline is to have changed after the run."""
    return ConfigurationError(
        f"{path} is not the model of the run any more", where="baseline", remedy="run the cell again, then accept it"
    )


def bad_baseline_folder(folder: Path, cause: str) -> ConfigurationError:
    """An exported baseline cannot be read."""
    return ConfigurationError(f"{folder} has no exported baselines: {cause}", remedy="name a folder of baseline export")


# --- execution and storage ---------------------------------------------------------------------------------------


def worker_died(cause: str) -> WorkerDiedError:
    """The cell's process ended without an answer."""
    return WorkerDiedError(
        f"the cell's process died: {cause}",
        where="executor",
        remedy="what was finished is stored; look for memory limits (dmesg) or a crash of the device plugin",
    )


def unexpected(description: str) -> CellError:
    """An error that no module foresaw, told without a traceback; the log has it."""
    return CellError(
        f"unexpected error: {description}",
        where="cell",
        remedy="please report it with the cell's log, which has the traceback",
    )


def store_unusable(url: str, cause: str) -> ConfigurationError:
    """The store cannot be opened."""
    return ConfigurationError(
        f"cannot use the store {url}: {cause}", remedy="name another with --store, or move the file away"
    )


def store_too_new(url: str, revision: str) -> ConfigurationError:
    """A later release wrote the store."""
    return ConfigurationError(
        f"the store {url} has schema {revision}, which this release does not know",
        remedy="install the release that wrote it, or name another store with --store",
    )


def store_write_failed(url: str, cause: str) -> CellError:
    """A trial could not be stored, e.g. because the disk is full."""
    return CellError(f"cannot write to the store {url}: {cause}", where="store", remedy="free disk space, run again")


def unknown_run(run_id: str, known: Iterable[str]) -> ConfigurationError:
    """``report`` names a run that is not stored."""
    return ConfigurationError(f"the store has no run {run_id!r}", where="RUN", remedy=nearest(run_id, known))


def no_runs(url: str) -> ConfigurationError:
    """The store is empty."""
    return ConfigurationError(f"the store {url} has no run", remedy="run: quantize-zoo run")


def model_export_failed(path: Path, cause: str) -> CellError:
    """The best model could not be written."""
    return CellError(f"cannot write the model {path}: {cause}", where="reports", remedy="free disk space, run again")


def needs_dask() -> ConfigurationError:
    """Options of a cluster without asking for one."""
    return ConfigurationError(
        "--scheduler, --scheduler-file and --workers are of the executor dask",
        where="run",
        remedy="add --executor dask",
    )


def unknown_role(role: str, known: Iterable[str]) -> ConfigurationError:
    """A role that no worker can have."""
    return ConfigurationError(f"there is no role {role!r}", where="--role", remedy=nearest(role, known))


def dask_missing() -> ConfigurationError:
    """Dask is asked for and not installed."""
    return ConfigurationError(
        "Dask is not installed", where="--executor dask", remedy="install the extra: pip install 'quantize-zoo[dask]'"
    )


def no_scheduler(address: str, cause: str) -> ConfigurationError:
    """No Dask scheduler answers."""
    return ConfigurationError(
        f"no Dask scheduler answers at {address}: {cause}",
        where="--scheduler",
        remedy="start one with 'dask scheduler', check the address, and that both sides use TLS or neither",
    )


def insecure_address(address: str) -> ConfigurationError:
    """Others could reach the cluster, which runs what it is sent."""
    return ConfigurationError(
        f"{address} can be reached by others, and nothing encrypts or authenticates what is sent",
        where="cluster",
        remedy="give --tls-ca-file, --tls-cert and --tls-key, or say --insecure where the network is trusted",
    )


def tls_incomplete(path: Path | None) -> ConfigurationError:
    """One of the three TLS files is missing."""
    what = "TLS needs all three files" if path is None else f"there is no file {path}"
    return ConfigurationError(what, where="cluster", remedy="give --tls-ca-file, --tls-cert and --tls-key")


def no_workers(refused: Iterable[str]) -> ConfigurationError:
    """A cluster without a worker that can be used; each refused one with why."""
    listed = "; ".join(refused)
    return ConfigurationError(
        f"the cluster has no worker that can be used{f': {listed}' if listed else ''}",
        where="--scheduler",
        remedy="start one with: quantize-zoo worker --scheduler ADDRESS --role accuracy,latency",
    )


def no_role(role: str) -> ConfigurationError:
    """No worker has a role that is needed."""
    return ConfigurationError(
        f"no worker has the role {role}",
        where="--scheduler",
        remedy=f"start one with: quantize-zoo worker --scheduler ADDRESS --role {role}",
    )


def mixed_cpus(cpus: Iterable[str]) -> ConfigurationError:
    """Workers have different CPUs, whose latencies and INT8 accuracies do not compare."""
    return ConfigurationError(
        f"the workers have different CPUs: {'; '.join(cpus)}",
        where="the cluster",
        remedy="write on_mixed_cpus: split into the matrix for a cell of each, or start workers on one CPU model only",
    )


def shared_machine() -> ConfigurationError:
    """Peers that measure beside each other."""
    return ConfigurationError(
        "several workers share a machine: what one measures would be disturbed by the others",
        where="--latency peer",
        remedy="start one worker a machine, or use --latency master",
    )


def task_failed(task: str, causes: Iterable[str]) -> CellError:
    """A task was lost with its worker, twice."""
    return CellError(
        f"{task} was lost twice: {'; '.join(causes)}", where="cluster", remedy="look at the workers' logs and memory"
    )


def scheduler_lost(cause: str) -> WorkerDiedError:
    """The connection to the scheduler is gone."""
    return WorkerDiedError(
        f"the scheduler is lost: {cause}",
        where="scheduler",
        remedy="what was finished is stored; start it again and go on with --trials-load-method warm_start",
    )


def cluster_fails(cause: str) -> CellError:
    """The cluster cannot be made ready."""
    return CellError(f"the cluster fails: {cause}", where="--executor dask", remedy="see the logs of its workers")


def session_lost(cause: str, address: str) -> WorkerDiedError:
    """A cell's process ended on a worker, which goes on."""
    return WorkerDiedError(cause, where=address, remedy="see the worker's log")


def only_local(command: str) -> CellError:
    """A command that has nothing to spread."""
    return CellError(f"{command} runs on this machine only", where="--executor dask", remedy="leave the option out")
