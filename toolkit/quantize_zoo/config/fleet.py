"""A fleet: one model for several devices, as a device of a matrix."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag, model_validator

from quantize_zoo.config.devices import PLUGINS
from quantize_zoo.config.keys import CellKey, first_twins
from quantize_zoo.config.model import DeviceSpec
from quantize_zoo.config.numbers import Flag, ShareAboveZero
from quantize_zoo.config.strict import Strict

MOST_MEMBERS = 16
_PRECISION = "INFERENCE_PRECISION_HINT"  # the plugin's property that inference_precision sets


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
    members: tuple[Member, ...] = Field(json_schema_extra={"minItems": 2, "maxItems": MOST_MEMBERS})
    allow_slower: Flag = False
    models: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _name_is_no_device(self) -> FleetSpec:
        if self.fleet in PLUGINS:
            raise ValueError(f"fleet needs a name of its own: {self.fleet} is a device")
        return self

    @model_validator(mode="after")
    def _are_several(self) -> FleetSpec:
        count = len(self.members)
        if count < 2:
            raise ValueError(f"members has {count or 'no'} device: a fleet has two at least, one alone is a device")
        if count > MOST_MEMBERS:
            raise ValueError(f"members has {count} devices: a fleet has {MOST_MEMBERS} at most")
        return self

    @model_validator(mode="after")
    def _members_differ(self) -> FleetSpec:
        kinds = [_kind_of(member) for member in self.members]
        twins = first_twins(kinds)
        if twins is not None:
            labels = dict.fromkeys(self.members[position].label for position in twins)
            named = " and ".join(labels)
            raise ValueError(f"members has {named}{' more than once' if len(labels) == 1 else ', which are the same'}")
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


def _kind_of(member: Member) -> CellKey:
    """Return what tells a member from others: a precision that is asked for as a property is one all the same."""
    properties = dict(member.device_config)
    precision = properties.pop(_PRECISION, None)
    asked = member.inference_precision or (None if precision is None else str(precision))
    return CellKey("", member.device, tuple(sorted((k, str(v)) for k, v in properties.items())), member.isa, asked)


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
