"""Members of fleets on machines of their kind: which these are, and the way from a cell's worker to theirs.

A worker with the role ``member`` has its machine to itself and does nothing else. The worker that leads a cell keeps a
connection to it for each process that it has there; a connection that ends, ends the process, and its hold on the
machine.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from distributed.comm.core import connect
from distributed.core import Status
from distributed.protocol.serialize import to_serialize
from distributed.utils import sync

from quantize_zoo import errors
from quantize_zoo.cell import Cell
from quantize_zoo.config import DeviceSpec
from quantize_zoo.engines.dask.files import Cache
from quantize_zoo.errors import QuantizeZooError
from quantize_zoo.scoring import HostedProcess, MachineKind, start_runtime
from quantize_zoo.scoring.far_process import Channel, Close, Give, Message, Open, Take

OPERATION = "quantize_zoo_member"


def placed(cell: Cell, leading: Sequence[MachineKind], others: Sequence[MachineKind]) -> Cell:
    """Return a fleet's cell with the places of its members, and with the member that leads; any other as it is.

    A member runs elsewhere if the machines that may lead are not of its kind, and another one is. The first member
    after the cell's own device that need not go leads, if it is on the same device; else the one that would have.

    Args:
        cell: the cell.
        leading: the machines of the workers that may lead.
        others: those of workers that may be members' places.

    """
    if cell.fleet is None:
        return cell
    members = cell.fleet.members
    places = dict(_places(members, leading, others))
    later = members[[each.label for each in members].index(cell.device.label) :]
    at_home = (each for each in later if each.label not in places and each.device == cell.device.device)
    lead = next(at_home, cell.device)
    places.pop(lead.label, None)
    return replace(cell, device=lead, places=tuple(places.items()))


def _places(
    members: Sequence[DeviceSpec], leading: Sequence[MachineKind], others: Sequence[MachineKind]
) -> Iterator[tuple[str, str]]:
    for member in members:
        if not all(kind.is_of(member) for kind in leading):
            names = sorted(kind.name_for(member) for kind in others if kind.is_of(member))
            if names:
                yield member.label, names[0]


@dataclass(frozen=True)
class _Connection:
    comm: Any
    address: str


class Connections:
    """The connections of a cell's session to the workers of its members; ``relay`` is for one thread at a time.

    ``lost`` is the address of a worker that was lost; empty as long as none was.

    Args:
        worker: that of the session.
        addresses: of the workers of members, by the members' names.

    """

    def __init__(self, worker: Any, addresses: Mapping[str, str]) -> None:
        self._worker = worker
        self._addresses = addresses
        self._open: dict[Channel, _Connection] = {}
        self.lost = ""

    def relay(self, channel: Channel, message: Message, seconds: float) -> Any:
        """Pass a message on; return what is answered within so many seconds.

        Raises:
            WorkerDiedError: the worker is gone, or does not answer.
            CellError: what it answers.

        """
        try:
            found = sync(self._worker.loop, self._passed, channel, message, callback_timeout=seconds)
        except (OSError, asyncio.TimeoutError) as error:
            cause = str(error.__cause__ or error) or f"it has not answered for {seconds:g} s"
            self.lost = self._addresses.get(channel[0], "")
            raise errors.member_lost(channel[0], self.lost, cause) from error
        if isinstance(found, QuantizeZooError):
            raise found
        return found

    def close(self) -> None:
        """End all connections; what is waited for fails."""
        self._worker.loop.add_callback(self._abort)

    def _abort(self) -> None:
        for each in self._open.values():
            each.comm.abort()

    async def _passed(self, channel: Channel, message: Message) -> Any:
        if isinstance(message, Open):
            address = self._addresses.get(channel[0], "")
            if not address:
                raise OSError("none has come in its place")
            comm = await connect(address, **self._worker.connection_args)
            self._open[channel] = _Connection(comm, address)
            await comm.write({"op": OPERATION, "isa": message.isa})
        elif isinstance(message, Close):
            await self._open.pop(channel).comm.close()
            return None
        else:
            comm = self._open[channel].comm
            await comm.write({"message": to_serialize(message)})
        answer = await comm.read()
        return answer["answer"]


class Hosting:
    """What a member's worker does: runs processes for others, on a machine that one of them at a time may have alone.

    Args:
        folder: the worker's own.
        cache: keeps what the processes are sent.

    """

    def __init__(self, folder: Path, cache: Cache) -> None:
        self._folder = folder
        self._cache = cache
        self._alone = asyncio.Lock()

    async def serve(self, comm: Any, isa: str | None) -> Status:
        """Run a process until its connection ends; a handler of Dask's."""
        stack = ExitStack()
        held = False
        try:
            hosted = await _answered(self._start, stack, isa)
            await _tell(comm, hosted if isinstance(hosted, QuantizeZooError) else None)
            while isinstance(hosted, HostedProcess):
                message = (await comm.read())["message"]
                answer: Any = None
                if isinstance(message, Take):
                    held = await self._alone.acquire()
                elif isinstance(message, Give):
                    self._alone.release()
                    held = False
                else:
                    answer = await _answered(hosted.answer, message)
                await _tell(comm, answer)
        except OSError:  # the other side is gone, or done
            pass
        finally:
            await asyncio.to_thread(stack.close)
            if held:
                self._alone.release()
            comm.abort()
        return Status.dont_reply

    def _start(self, stack: ExitStack, isa: str | None) -> HostedProcess:
        self._folder.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        return HostedProcess(stack.enter_context(start_runtime(isa=isa)), self._cache, folder)


async def _answered(work: Any, *arguments: Any) -> Any:
    """Return what is found in a thread, or the error that it raises."""
    try:
        return await asyncio.to_thread(work, *arguments)
    except QuantizeZooError as error:
        return error
    except Exception as error:  # nothing foresaw it; whoever asked gets one line
        return errors.unexpected(error)


async def _tell(comm: Any, answer: Any) -> None:
    await comm.write({"answer": to_serialize(answer)})
