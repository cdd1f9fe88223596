"""Of which kind a machine is, and where the members of a fleet run on machines of several kinds."""

import pytest

pytest.importorskip("distributed", reason="Dask is an extra")

from quantize_zoo.cell import Cell
from quantize_zoo.cell.identity import search_identity
from quantize_zoo.config import DeviceSpec, FleetSpec, hardware_path, load_hardware
from quantize_zoo.engines.dask.places import placed
from quantize_zoo.scoring import MachineKind, available_instruction_sets, describe_kind
from quantize_zoo.store import FleetMember, lead_of

CPU = {"CPU": "a CPU"}
AVX2 = MachineKind("A", ("SSE41", "AVX", "AVX2"), CPU)
VNNI = MachineKind("V", (*AVX2.instruction_sets, "AVX512_CORE", "AVX512_CORE_VNNI"), CPU)
BF16 = MachineKind("B", (*VNNI.instruction_sets, "AVX512_CORE_BF16"), CPU)
GRAPHICS = MachineKind("G", AVX2.instruction_sets, {**CPU, "GPU.0": "Some Graphics", "GPU.1": "Other Graphics"})


def device(name="CPU", isa=None, precision=None):
    found = {"device": name, "isa": isa, "inference_precision": precision}
    return DeviceSpec.model_validate({key: value for key, value in found.items() if value})


@pytest.mark.parametrize(
    ("member", "expected"),
    [
        (device(), [AVX2, VNNI, BF16, GRAPHICS]),
        (device(isa="AVX2"), [AVX2, GRAPHICS]),
        (device(isa="AVX512_CORE_VNNI"), [VNNI]),
        (device(isa="SSE41"), []),
        (device(precision="bf16"), [BF16]),
        (device(precision="f16"), []),
        (device(precision="f32"), [AVX2, VNNI, BF16, GRAPHICS]),
        (device("GPU"), [GRAPHICS]),
        (device("GPU.1"), [GRAPHICS]),
        (device("GPU.2"), []),
        (device("AUTO:GPU,CPU"), [GRAPHICS]),
    ],
    ids=lambda value: value.label if isinstance(value, DeviceSpec) else "",
)
def test_of_a_kind_is_what_has_it_as_its_highest(member, expected):
    assert [kind for kind in (AVX2, VNNI, BF16, GRAPHICS) if kind.is_of(member)] == expected


def test_a_machine_that_is_held_to_a_limit_is_of_no_instruction_sets_kind():
    limited = MachineKind("A", BF16.instruction_sets, CPU, limited=True)
    assert not limited.is_of(device(isa="AVX512_CORE_BF16"))
    assert not limited.is_of(device(precision="bf16"))
    assert limited.is_of(device())


def test_a_machine_is_called_by_its_cpu_and_the_device_beside_it():
    assert AVX2.name_for(device(isa="AVX2")) == "A"
    assert GRAPHICS.name_for(device("GPU.1")) == "Other Graphics, G"
    assert GRAPHICS.name_for(device("AUTO:GPU.0,CPU")) == "Some Graphics, G"


def test_this_machine_is_limited_where_onednn_is_held_below_its_highest():
    highest = available_instruction_sets()[-1]
    assert not describe_kind("").limited
    assert not describe_kind(highest).limited
    assert describe_kind("SSE41").limited == (highest != "SSE41")
    assert describe_kind("").is_of(device(isa=highest))
    assert "CPU" in describe_kind("").devices


def placed_fleet(mobilenet, leading, others, *members, lead=0):
    fleet = FleetSpec.model_validate({"fleet": "servers", "members": [each.model_dump() for each in members]})
    found = placed(Cell(mobilenet, fleet.members[lead], fleet=fleet), leading, others)
    return found.device.label, dict(found.places)


@pytest.mark.parametrize(
    ("leading", "others", "members", "expected"),
    [
        ([BF16], [AVX2], [device(), device(isa="AVX2")], ("CPU", {"CPU[AVX2]": "A"})),
        ([BF16], [VNNI], [device(), device(isa="AVX2")], ("CPU", {})),
        ([BF16], [], [device(), device(isa="AVX2")], ("CPU", {})),
        ([AVX2], [AVX2], [device(), device(isa="AVX2")], ("CPU", {})),
        ([BF16, AVX2], [AVX2], [device(), device(isa="AVX2")], ("CPU", {"CPU[AVX2]": "A"})),
        ([BF16], [GRAPHICS, AVX2], [device(), device(isa="AVX2")], ("CPU", {"CPU[AVX2]": "A"})),
        ([BF16], [AVX2], [device(isa="AVX2"), device()], ("CPU", {"CPU[AVX2]": "A"})),
        ([BF16], [AVX2, VNNI], [device(isa="AVX2"), device(isa="AVX512_CORE_VNNI")],
         ("CPU[AVX2]", {"CPU[AVX512_CORE_VNNI]": "V"})),
        ([BF16], [GRAPHICS], [device(), device("GPU")], ("CPU", {"GPU": "Some Graphics, Other Graphics, G"})),
        ([BF16], [GRAPHICS], [device("GPU"), device()], ("GPU", {})),
    ],
    ids=[
        "its kind", "another kind", "nobody", "the leading machine is of its kind", "not all that lead are",
        "the first by name", "another leads", "all could go", "a device", "a device cannot lead for a CPU",
    ],
)  # fmt: skip
def test_members_run_where_a_machine_is_of_their_kind(mobilenet, leading, others, members, expected):
    assert placed_fleet(mobilenet, leading, others, *members) == expected


def test_once_another_member_stands_in_to_lead_the_device_gets_its_place(mobilenet):
    found = placed_fleet(mobilenet, [BF16], [GRAPHICS], device("GPU"), device(), lead=1)
    assert found == ("CPU", {"GPU": "Some Graphics, Other Graphics, G"})


def test_other_cells_have_no_places(mobilenet):
    cell = Cell(mobilenet, device(isa="AVX2"))
    assert placed(cell, [BF16], [AVX2]) is cell


def test_a_member_elsewhere_does_not_lead_and_belongs_to_the_searchs_environment(mobilenet):
    members = FleetMember("CPU[AVX2]", 0.5, machine="A", elsewhere=True), FleetMember("CPU", 0.5, machine="B")
    assert lead_of(members) == "CPU"
    fleet = FleetSpec.model_validate({"fleet": "servers", "members": ["CPU", {"device": "CPU", "isa": "AVX2"}]})
    identity = search_identity(
        Cell(mobilenet, device(), fleet=fleet), load_hardware(hardware_path("CPU")), "data", [0], members
    )
    assert identity["environment"].endswith("; CPU[AVX2] on A")
