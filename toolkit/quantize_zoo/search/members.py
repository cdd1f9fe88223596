"""A candidate of a fleet: what it is on each member, and which member to ask first about the next one."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from quantize_zoo.scoring import Estimate, PairedLatency


@dataclass(frozen=True)
class MemberScore:
    """What a candidate is on a member of a fleet that was asked about it.

    ``accuracy_loss`` is that against FP32 on the same member, of the samples seen where the pass was ``ended`` early.
    There is no ``latency`` of a candidate that was given up before, or without the member's device.
    """

    name: str
    accuracy: Estimate
    accuracy_loss: float
    ended: bool = False
    latency: PairedLatency | None = None


def asking_order(members: Collection[str], asked: Iterable[Collection[MemberScore]], allowed: float) -> tuple[str, ...]:
    """Return the members in the order in which candidates fail on them most, else in the fleet's own.

    Args:
        members: in the fleet's order.
        asked: for each candidate so far the members that were asked about it.
        allowed: the loss that meets the target, as a share.

    """
    failed, seen = dict.fromkeys(members, 0), dict.fromkeys(members, 0)
    for candidate in asked:
        for score in candidate:
            if score.name in seen:
                seen[score.name] += 1
                failed[score.name] += score.accuracy_loss > allowed
    # A member that was never asked, because others failed before, is expected to fail as often as not.
    return tuple(sorted(members, key=lambda name: -(failed[name] + 1) / (seen[name] + 2)))


def combined_latency(latencies: Mapping[str, PairedLatency], shares: Mapping[str, float]) -> PairedLatency:
    """Return the share-weighted geometric mean of members' latencies; those that have none do not count.

    The interval takes members for independent: each is measured in a process of its own.
    """
    whole = sum(shares[name] for name in latencies)
    weights = {name: shares[name] / whole for name in latencies}

    def mean(figures: Mapping[str, Estimate], unit: str) -> Estimate:
        value = sum(weights[name] * math.log(each.value) for name, each in figures.items())
        count = min(each.samples for each in figures.values())
        if any(each.low is None or each.high is None for each in figures.values()):
            return Estimate(math.exp(value), None, None, unit, count)
        halves = ((weights[name] * math.log(each.high / each.low) / 2) for name, each in figures.items())  # type: ignore[operator]
        half = math.hypot(*halves)
        return Estimate(math.exp(value), math.exp(value - half), math.exp(value + half), unit, count)

    return PairedLatency(
        mean({name: each.reference_us for name, each in latencies.items()}, "us"),
        mean({name: each.candidate_us for name, each in latencies.items()}, "us"),
        mean({name: each.ratio for name, each in latencies.items()}, "x"),
    )


def is_slower(latency: PairedLatency | None) -> bool:
    """Tell whether a candidate is surely slower than FP32: all of the interval of their ratio is below 1."""
    high = None if latency is None else latency.ratio.high
    return high is not None and high < 1
