"""A fleet: one model for several devices, as a device of a matrix."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag, model_validator

from quantize_zoo.config.devices import PLUGINS
from quantize_zoo.config.keys import CellKey
from quantize_zoo.config.model import DeviceSpec
from quantize_zoo.config.numbers import Flag, ShareAboveZero
from quantize_zoo.config.strict import Strict

MOST_MEMBERS = 16


class Member(DeviceSpec):
    """A device of a fleet; ``share`` is that of the inferences which run on it, by default the same for all."""

    share: ShareAboveZero | None = None

    @model_validator(mode="after")
    def _models_are_the_fleets(self) -> Member:
        if self.models:
            raise ValueError("models are named beside members, for the whole fleet")
        return self


class FleetSpec(Strict):
    """Several devices that get one model; ``models`` are those of the matrix that are searched for it, all by default.

    ``allow_slower`` lets the model be slower than FP32 on some members, if it is faster on the whole.
    """

    fleet: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")
    members: tuple[Member, ...] = Field(min_length=2, max_length=MOST_MEMBERS)
    allow_slower: Flag = False
    models: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _name_is_no_device(self) -> FleetSpec:
        if self.fleet in PLUGINS:
            raise ValueError(f"fleet needs a name of its own: {self.fleet} is a device")
        return self

    @model_validator(mode="after")
    def _members_differ(self) -> FleetSpec:
        labels = [member.label for member in self.members]
        twice = next((label for label in labels if labels.count(label) > 1), None)
        if twice is not None:
            raise ValueError(f"members has {twice} more than once")
        return self

    @model_validator(mode="after")
    def _shares_are_a_whole(self) -> FleetSpec:
        given = [member.share for member in self.members if member.share is not None]
        if given and len(given) < len(self.members):
            raise ValueError("members: give all of them a share, or none")
        if given and not math.isclose(sum(given), 1, abs_tol=1e-6):
            raise ValueError(f"members: their shares are {sum(given):g} together, and have to be 1")
        return self

    @property
    def label(self) -> str:
        """The name of the fleet in tables, where others have their device's."""
        return self.fleet

    @property
    def shares(self) -> dict[str, float]:
        """The share of each member, by its label."""
        return {member.label: member.share or 1 / len(self.members) for member in self.members}

    def key(self, model: str, cpu: str = "") -> CellKey:
        """Return the key of a model's cell for this fleet."""
        return CellKey(model, self.fleet, cpu=cpu)


def _kind(value: Any) -> str:
    is_fleet = isinstance(value, FleetSpec) or (isinstance(value, dict) and "fleet" in value)
    return FleetSpec.__name__ if is_fleet else DeviceSpec.__name__


# A device of a matrix.
Target = Annotated[
    Annotated[DeviceSpec, Tag(DeviceSpec.__name__)] | Annotated[FleetSpec, Tag(FleetSpec.__name__)],
    Discriminator(_kind),
]


def devices_of(target: DeviceSpec | FleetSpec) -> tuple[DeviceSpec, ...]:
    """Return the devices of a target: itself, or a fleet's members."""
    return target.members if isinstance(target, FleetSpec) else (target,)
