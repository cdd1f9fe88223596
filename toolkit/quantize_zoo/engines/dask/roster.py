"""The workers of a cluster: which there are, what each is, and which may not take part."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from distributed import Client

from quantize_zoo import errors
from quantize_zoo.engines.cluster_options import Role
from quantize_zoo.engines.dask import worker as tasks

_FRESH_SECONDS = 1.0


@dataclass(frozen=True)
class Member:
    """A worker that takes part."""

    facts: tasks.Facts
    roles: frozenset[str]


class Roster:
    """Knows the workers; asks those that join what they are.

    Args:
        client: connected to the cluster.
        tell: told of workers that are refused.

    """

    def __init__(self, client: Client, tell: Callable[[str], None]) -> None:
        self._client = client
        self._tell = tell
        self._members: dict[str, Member] = {}  # replaced as a whole, so that readers need not wait
        self._refused: dict[str, str] = {}  # by address, why
        self._own = tasks.facts()
        self._known: dict[str, tasks.Facts] = {}
        self._cpus: dict[Role, frozenset[str]] = {}
        self._refresh()
        threading.Thread(target=self._keep_fresh, name="roster", daemon=True).start()

    @property
    def connected(self) -> bool:
        """Whether there is a scheduler."""
        return bool(self._client.status == "running")

    @property
    def gone(self) -> bool:
        """Whether the scheduler was lost for good."""
        return bool(self._client.status == "closed")

    def members(self) -> dict[str, Member]:
        """Return the workers by address that may take part; those that joined within the last seconds may lack."""
        return self._members

    def facts(self, address: str) -> tasks.Facts:
        """Return what a worker is, or was, that took part."""
        return self._known[address]

    def of(self, role: Role, cpu: str = "") -> list[str]:
        """Return the addresses of the workers with a role, of one CPU model if one is given."""
        members = self.members().items()
        return [address for address, each in members if role in each.roles and cpu in ("", each.facts.cpu)]

    def cpus(self, role: Role) -> list[str]:
        """Return the CPU models of the workers with a role."""
        return sorted({each.facts.cpu for each in self.members().values() if role in each.roles})

    def keep_to(self, role: Role, cpus: list[str]) -> None:
        """Refuse workers with a role that join from now on with another CPU model."""
        self._cpus[role] = frozenset(cpus)

    def shares_machine(self, role: Role) -> bool:
        """Tell whether a worker with a role shares its machine with another."""
        members = self.members().values()
        hosts = Counter(each.facts.host for each in members)
        return any(hosts[each.facts.host] > 1 for each in members if role in each.roles)

    def is_here(self, role: Role) -> bool:
        """Tell whether a worker with a role is on this machine."""
        return any(each.facts.host == self._own.host for each in self.members().values() if role in each.roles)

    def alone(self, role: Role) -> dict[str, tasks.Facts]:
        """Return the workers with a role, by address, that have their machine to themselves: no other, and not us."""
        members = self.members()
        hosts = Counter([self._own.host, *(each.facts.host for each in members.values())])
        return {
            address: each.facts
            for address, each in members.items()
            if role in each.roles and hosts[each.facts.host] == 1
        }

    def require(self, role: Role) -> None:
        """Require a worker.

        Raises:
            ConfigurationError: there is none with the role.

        """
        if not self.members():
            raise errors.no_workers(f"{address}: {wrong}" for address, wrong in sorted(self._refused.items()))
        if not self.of(role):
            raise errors.no_role(role)

    def ask(self, question: Callable[..., Any], *arguments: Any, **options: Any) -> dict[str, Any]:
        """Run a function on workers at once, beside their tasks; without a scheduler nobody answers."""
        try:
            answers: dict[str, Any] = self._client.run(question, *arguments, **options)
        except (OSError, ValueError):
            return {}
        return answers

    def _keep_fresh(self) -> None:
        """Look for workers until the client is closed; the scheduler may take its time to answer."""
        while not self.gone:
            time.sleep(_FRESH_SECONDS)
            if self.connected:  # else they may come back with it
                with suppress(OSError, ValueError, RuntimeError, AttributeError):  # closed meanwhile
                    self._refresh()

    def _refresh(self) -> None:
        there = self._client.nthreads()  # by address; all that is known of them would be much to ask each second
        members = {address: each for address, each in self._members.items() if address in there}
        new = [each for each in there if each not in members and each not in self._refused]
        self._members = members | self._admitted(new) if new else members

    def _admitted(self, new: list[str]) -> dict[str, Member]:
        """Ask workers what they are; return those that may take part."""
        admitted = {}
        known = self._client.scheduler_info(n_workers=-1).get("workers", {})
        for address, found in self.ask(tasks.facts, workers=new, on_error="return").items():
            if address not in known:  # it is gone already
                continue
            roles = frozenset(known[address]["resources"])
            wrong = self._wrong(found, roles)
            if wrong:
                self._refused[address] = wrong
                self._tell(f"worker {address} is refused: {wrong}")
            else:
                admitted[address] = Member(found, roles)
                self._known[address] = found
        return admitted

    def _wrong(self, found: Any, roles: frozenset[str]) -> str:
        if not isinstance(found, tasks.Facts):
            return f"it cannot tell its versions: {found}"
        wrong = [
            f"{name} {found.versions.get(name, 'none')} instead of {version}"
            for name, version in self._own.versions.items()
            if found.versions.get(name) != version
        ]
        wrong += [
            f"CPU {found.cpu} instead of {' or '.join(sorted(cpus))}"
            for role, cpus in self._cpus.items()
            if role in roles and found.cpu not in cpus
        ]
        return ", ".join(dict.fromkeys(wrong))
