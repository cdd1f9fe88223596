"""A process that runs models on another machine: commands go there, files and samples by their content, each once.

``FarProcess`` is the side that asks, ``HostedProcess`` the one that runs; what carries messages between them is an
engine's.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from quantize_zoo import errors
from quantize_zoo.errors import CellError
from quantize_zoo.scoring.runtimes import ModelProcess, RuntimeProcess, Samples, Side, Start

_ATTEMPTS = 3  # to send what is missing: others' files may push it out of a cache
_MESSAGE_BYTES = 64_000_000  # of contents, after which no other is added
Sample = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Open:
    """Start a process, limited to an instruction set; None for no limit but its machine's own."""

    isa: str | None


@dataclass(frozen=True)
class Request:
    """A command, with the samples that it takes and the files of its model (suffix and digest), by content."""

    command: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    samples: tuple[str, ...] = ()
    model: tuple[tuple[str, str], ...] = ()

    @property
    def digests(self) -> tuple[str, ...]:
        """All that has to be there."""
        return (*self.samples, *(digest for _, digest in self.model))


@dataclass(frozen=True)
class Contents:
    """What a request takes and was missing, by digest."""

    of: Mapping[str, bytes]


@dataclass(frozen=True)
class Take:
    """Have the machine alone, once nobody else has."""


@dataclass(frozen=True)
class Give:
    """Let others have it."""


@dataclass(frozen=True)
class Close:
    """End the process."""


@dataclass(frozen=True)
class Missing:
    """The answer to a request whose samples or files are not there yet."""

    digests: tuple[str, ...]


Message = Open | Request | Contents | Take | Give | Close
Channel = tuple[str, int]  # the member of a fleet, and which of its processes
# Sends a message to a process and returns the answer, or raises what that is.
Ask = Callable[[Channel, Message], Any]


def nobody(channel: Channel, message: Message, seconds: float = 0.0) -> Any:
    """Where no member runs on another machine there is nobody to ask."""
    raise AssertionError(f"{channel} is asked {message}, and runs here")


class Files(Protocol):
    """Keeps contents by digest."""

    def lacking(self, digests: Sequence[str]) -> list[str]:
        """Return those that are not here."""
        ...

    def keep(self, contents: Mapping[str, bytes]) -> None:
        """Add some."""
        ...

    def path(self, digest: str) -> Path:
        """Return the file of one that is used now."""
        ...


def far_start(ask: Ask, member: str, isa: str | None) -> Start:
    """Return what starts a process where a member runs.

    Raises:
        CellError: on starting, it cannot be started.

    """
    numbers = itertools.count()

    @contextmanager
    def start() -> Iterator[ModelProcess]:
        channel = member, next(numbers)
        ask(channel, Open(isa))
        try:
            yield FarProcess(partial(ask, channel))
        finally:
            with suppress(CellError):  # it ended by itself
                ask(channel, Close())

    return start


class FarProcess(ModelProcess):
    """The process as the side sees it that asks; use ``far_start``."""

    def __init__(self, send: Callable[[Message], Any]) -> None:
        self._send = send
        self._models: dict[tuple[str, int, int], tuple[tuple[str, str], ...]] = {}  # digests, by path, size and time
        self.openvino = str(self.call("hello")["openvino"])

    def alone(self) -> AbstractContextManager[object]:
        """See ``ModelProcess``: nobody else infers or measures on its machine meanwhile."""
        return self._taken()

    @contextmanager
    def _taken(self) -> Iterator[None]:
        self._send(Take())
        try:
            yield
        finally:
            with suppress(CellError):  # it is gone, and so is its hold
                self._send(Give())

    def feed(self, samples: Samples, slot: int = 0, at_once: int = 0) -> None:
        """See ``ModelProcess``."""
        self._with_samples("feed", samples, slot=slot, at_once=at_once)

    def infer_batch(self, batch: Samples, goes_on: Sequence[bool]) -> Iterator[dict[str, NDArray[Any]]]:
        """See ``ModelProcess``."""
        yield from self._with_samples("infer", batch, goes_on=list(goes_on))

    def free(self, kept: Sequence[Path] = ()) -> None:
        """See ``ModelProcess``."""
        paths = {str(path) for path in kept}
        self._models = {key: value for key, value in self._models.items() if key[0] in paths}
        self.call("free", kept=sorted(self._models.values()))

    def call(self, command: str, **arguments: Any) -> dict[str, Any]:
        """See ``ModelProcess``."""
        found: dict[str, Any] = self._send(Request(command, arguments))
        return found

    def _load(self, command: str, side: Side, slot: int) -> float:
        if not side.model.exists():
            raise errors.model_vanished(side.model)
        files = {each.suffix: each for each in (side.model, side.model.with_suffix(".bin")) if each.is_file()}
        status = side.model.stat()
        key = str(side.model), status.st_size, status.st_mtime_ns
        if key not in self._models:
            self._models[key] = tuple((suffix, _digest_of_file(path)) for suffix, path in files.items())
        arguments = {"slot": slot, "device": side.device, "properties": dict(side.properties)}
        model = self._models[key]
        contents = {digest: files[suffix].read_bytes for suffix, digest in model}
        return float(self._sent(Request(command, arguments, model=model), contents))

    def _with_samples(self, command: str, samples: Samples, **arguments: Any) -> Any:
        digests = tuple(map(_digest_of, samples))
        contents = {digest: partial(_packed, sample) for digest, sample in zip(digests, samples, strict=True)}
        return self._sent(Request(command, arguments, samples=digests), contents)

    def _sent(self, request: Request, contents: Mapping[str, Callable[[], bytes]]) -> Any:
        """Send a request, and before it what the other side has not yet."""
        for _ in range(_ATTEMPTS):
            answer = self._send(request)
            if not isinstance(answer, Missing):
                return answer
            part: dict[str, bytes] = {}
            for digest in answer.digests:
                part[digest] = contents[digest]()
                if sum(map(len, part.values())) >= _MESSAGE_BYTES:
                    self._send(Contents(part))
                    part = {}
            self._send(Contents(part))
        raise errors.far_cache_too_small()


class HostedProcess:
    """The process on its machine, and what it was sent.

    Args:
        process: it.
        files: where contents are kept.
        folder: for the files of models, as that process reads them; removed by whoever made it.

    """

    def __init__(self, process: RuntimeProcess, files: Files, folder: Path) -> None:
        self._process = process
        self._files = files
        self._folder = folder

    def answer(self, message: Request | Contents) -> Any:
        """Do what is asked; ``Missing`` if something has to be sent before.

        Raises:
            WorkerDiedError: the process is gone.
            CellError: see ``RuntimeProcess``.

        """
        try:
            return self._answer(message)
        except CellError as error:
            if self._process.ended:
                raise errors.session_lost(error.what, "the member's worker") from error
            raise

    def _answer(self, message: Request | Contents) -> Any:
        if isinstance(message, Contents):
            self._files.keep(message.of)
            return None
        lacking = self._files.lacking(message.digests)
        try:
            return Missing(tuple(lacking)) if lacking else self._done(message)
        except FileNotFoundError:  # pushed out of the cache just now
            return Missing(tuple(self._files.lacking(message.digests)))

    def _done(self, request: Request) -> Any:
        arguments = dict(request.arguments)
        samples = [_unpacked(self._files.path(digest)) for digest in request.samples]
        if request.command == "infer":
            return list(self._process.infer_batch(samples, arguments["goes_on"]))
        if request.command == "feed":
            return self._process.feed(samples, arguments["slot"], arguments["at_once"])
        if request.model:
            side = Side(self._placed(request.model), arguments["device"], arguments["properties"])
            load = self._process.load_again if request.command == "load_again" else self._process.load
            return load(side, arguments["slot"])
        if request.command == "free":
            return self._free([self._place_of(model) for model in arguments["kept"]])
        return self._process.call(request.command, **arguments)

    def _free(self, kept: Sequence[Path]) -> dict[str, Any]:
        self._process.free(kept)
        folders = {path.parent for path in kept}
        for folder in self._folder.iterdir():  # a link keeps on the disk what the cache has given up
            if folder not in folders:
                shutil.rmtree(folder)
        return {}

    def _placed(self, model: Sequence[tuple[str, str]]) -> Path:
        """Return the model's file, with its weights beside it."""
        path = self._place_of(model)
        path.parent.mkdir(exist_ok=True)
        for suffix, digest in model:
            target = path.with_suffix(suffix)
            if not target.exists():
                os.link(self._files.path(digest), target)
        return path

    def _place_of(self, model: Sequence[tuple[str, str]]) -> Path:
        name = hashlib.sha256("".join(digest for _, digest in model).encode()).hexdigest()
        return self._folder / name / f"model{model[0][0]}"


def _digest_of(sample: Sample) -> str:
    found = hashlib.sha256()
    for name, value in sample.items():
        found.update(repr((name, value.dtype.str, value.shape)).encode())
        found.update(value.tobytes())
    return found.hexdigest()


def _digest_of_file(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _packed(sample: Sample) -> bytes:
    """Return a sample as its names and then its values, each as NumPy writes it: read twice as fast as its archives."""
    stream = io.BytesIO()
    for value in (np.array(list(sample)), *sample.values()):
        np.save(stream, value, allow_pickle=False)
    return stream.getvalue()


def _unpacked(path: Path) -> dict[str, NDArray[Any]]:
    with path.open("rb") as stream:
        names = np.load(stream, allow_pickle=False)
        return {str(name): np.load(stream, allow_pickle=False) for name in names}
