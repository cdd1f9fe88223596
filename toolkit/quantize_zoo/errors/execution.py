"""Processes and clusters that cells run in."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from quantize_zoo.errors.kinds import (
    CellError,
    ConfigurationError,
    QuantizeZooError,
    WorkerDiedError,
    described,
    nearest,
)
from quantize_zoo.errors.system import refused_by_system


def worker_died(cause: str, step: str) -> WorkerDiedError:
    """The cell's process ended without an answer to what it was asked for."""
    return WorkerDiedError(
        f"the cell's process died in {step}: {cause}",
        where="executor",
        remedy="what was finished is stored; look for memory limits (dmesg) or a crash of the device plugin, which a"
        " quantized model may cause that it compiles wrongly",
    )


def unexpected(error: BaseException, log: Path | None = None) -> CellError:
    """An error that no module foresaw, told in one line and without a traceback; the log has it."""
    refused = refused_by_system(error)
    if refused is not None:
        return CellError(refused.what, where=refused.where or "cell", remedy=refused.remedy)
    has_it = "the cell's log" if log is None else str(log)
    return CellError(
        f"unexpected error: {described(error)}",
        where="cell",
        remedy=f"please report it with {has_it}, which has the traceback",
    )


def internal_error(error: BaseException, log: Path | None) -> QuantizeZooError:
    """A fault of this program; what it was, in one line."""
    kept = "the traceback could not be written to a file" if log is None else f"the traceback is in {log}"
    return QuantizeZooError(f"unexpected {described(error)}; {kept}")


def bad_usage(problem: str, command: str) -> ConfigurationError:
    """The command line is not one that the command takes."""
    return ConfigurationError(problem, remedy=f"see: {command} --help")


def needs_dask() -> ConfigurationError:
    """Options of a cluster without asking for one."""
    return ConfigurationError(
        "--scheduler, --scheduler-file, --workers, the --tls-... options and --insecure are of the executor dask",
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


def ways_to_scheduler(given: Iterable[str], possible: Iterable[str]) -> ConfigurationError:
    """A cluster is named twice, or not at all."""
    named = " and ".join(given)
    return ConfigurationError(
        f"{named} name different clusters" if named else "no cluster is named",
        where="cluster",
        remedy=f"name one: {' or '.join(possible)}",
    )


def bad_scheduler_file(path: Path, cause: str) -> ConfigurationError:
    """What should be a scheduler's file is none."""
    return ConfigurationError(
        f"{path}: {cause}",
        where="--scheduler-file",
        remedy="name the file that 'dask scheduler --scheduler-file' wrote",
    )


def bad_address(address: str, where: str) -> ConfigurationError:
    """An address that cannot be one of a scheduler."""
    return ConfigurationError(
        f"{address!r} is no address of a scheduler", where=where, remedy="write tcp://HOST:PORT or tls://HOST:PORT"
    )


def tls_mismatch(address: str, *, files: bool) -> ConfigurationError:
    """An address with TLS without files for it, or the other way round."""
    if files:
        what, remedy = "does not use TLS, for which files are given", "write tls://HOST:PORT, or leave the files out"
    else:
        what, remedy = "uses TLS, for which no files are given", "give --tls-ca-file, --tls-cert and --tls-key"
    return ConfigurationError(f"{address} {what}", where="cluster", remedy=remedy)


def tls_here() -> ConfigurationError:
    """TLS for workers of this machine, which listen on loopback."""
    return ConfigurationError(
        "a cluster of this machine's own needs no TLS and has no use for --insecure",
        where="--workers",
        remedy="leave these options out",
    )


def insecure_address(address: str) -> ConfigurationError:
    """Others could reach the cluster, which runs what it is sent."""
    return ConfigurationError(
        f"{address} can be reached by others, and nothing encrypts or authenticates what is sent",
        where="cluster",
        remedy="give --tls-ca-file, --tls-cert and --tls-key, or say --insecure where the network is trusted",
    )


def tls_incomplete() -> ConfigurationError:
    """One of the three TLS files is not named."""
    return ConfigurationError(
        "TLS needs all three files", where="cluster", remedy="give --tls-ca-file, --tls-cert and --tls-key"
    )


def tls_unusable(what: str, cause: str) -> ConfigurationError:
    """A TLS file cannot be read, or is not what it should be."""
    return ConfigurationError(f"{what}: {cause}", where="cluster", remedy="name PEM files, the key not encrypted")


def bad_memory_limit(text: str) -> ConfigurationError:
    """A worker's limit is no amount of memory."""
    return ConfigurationError(
        f"{text!r} is no amount of memory", where="--memory-limit", remedy="write 8GiB, 0.5 for a half, or auto"
    )


def worker_refused(cause: str) -> CellError:
    """A worker cannot start, or the scheduler does not want it."""
    return CellError(
        f"the worker cannot start: {cause}", where="worker", remedy="see the message, and the scheduler's log"
    )


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
        remedy="write on_mixed_cpus: split into the matrix for a cell of each, or start workers on one CPU model only; "
        "those of machines that a fleet's members are to run on with --role member",
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


def cut_short() -> WorkerDiedError:
    """The run was interrupted while a worker was waited for."""
    return WorkerDiedError("the run was interrupted", where="interrupt", remedy="what was finished is stored")


def far_cache_too_small() -> CellError:
    """What a member of a fleet infers with does not stay on its machine long enough to be read."""
    return CellError(
        "the worker of a member of the fleet cannot keep the inputs of one inference after another",
        where="--cache-mb",
        remedy="let workers keep more, as much as the inputs of all samples take",
    )


def member_lost(member: str, address: str, cause: str) -> WorkerDiedError:
    """The worker on whose machine a member of a fleet runs is gone."""
    return WorkerDiedError(
        f"the worker {address} of the member {member} is gone: {cause}", where=address, remedy="see the worker's log"
    )


def no_place(member: str, machine: str) -> WorkerDiedError:
    """No worker is left on whose machine a member of a fleet can run as it did."""
    return WorkerDiedError(
        f"no worker is left for the member {member}, which ran on {machine}",
        where="cluster",
        remedy="start one there with: quantize-zoo worker --scheduler ADDRESS --role member; the trials are stored",
    )


def member_works_alone() -> ConfigurationError:
    """A worker has the role of a fleet's member and another."""
    return ConfigurationError(
        "a worker with the role member has no other: its machine measures for fleets only",
        where="--role",
        remedy="leave the other roles out, or start their worker on another machine",
    )


def session_lost(cause: str, address: str) -> WorkerDiedError:
    """A process of a cell ended on a worker, which goes on."""
    return WorkerDiedError(cause, where=address, remedy="see the worker's log")
