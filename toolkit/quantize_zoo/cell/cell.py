"""A cell is one model on one device."""

from __future__ import annotations

from dataclasses import dataclass

from quantize_zoo.config import CellKey, DeviceSpec, FleetSpec, ModelConfig, TrialsLoadMethod

CPU = DeviceSpec(device="CPU")


@dataclass(frozen=True)
class Cell:
    """One model on one device.

    ``references`` name the tools whose models are scored beside it. With ``scored_on_cpu`` the model is quantized for
    the device, which is not there, and its accuracy is the CPU's. ``cpu`` is the CPU model of the machines that it runs
    on, where these differ. A step that takes longer than ``hang_seconds``, and much longer than the cell's others, is
    taken for one that hangs. ``content`` tells sources of the model apart whose canonical file ``model.model`` is.
    ``otherwise`` is how it searches where nothing stored fits it, and the night meant only to evaluate it. Of a
    ``fleet`` the device is the member that its process plays itself, the one that leads, and ``places`` are members
    that run on other machines, each with what it runs on there; ``absent_on_cpu`` scores those of its members on the
    CPU which are not here, as ``scored_on_cpu`` does where none is.
    """

    model: ModelConfig
    device: DeviceSpec
    references: tuple[str, ...] = ()
    input_memory_mb: int = 2048
    scored_on_cpu: bool = False
    cpu: str = ""
    hang_seconds: float = 1800.0
    content: str = ""
    otherwise: TrialsLoadMethod | None = None
    fleet: FleetSpec | None = None
    absent_on_cpu: bool = False
    places: tuple[tuple[str, str], ...] = ()

    @property
    def key(self) -> CellKey:
        """What tells it from all other cells, and all its names."""
        return self.target.key(self.model.name, self.cpu)

    @property
    def target(self) -> DeviceSpec | FleetSpec:
        """What the matrix names: a device, or a fleet."""
        return self.fleet or self.device

    @property
    def counts_as(self) -> int:
        """As how many cells it counts in a night's level: a fleet as its members, each of which is compared."""
        return len(self.fleet.members) if self.fleet else 1

    @property
    def scoring_device(self) -> DeviceSpec:
        """The device that models run on."""
        return CPU if self.scored_on_cpu else self.device
