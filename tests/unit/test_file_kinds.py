"""A file in another one's place is told as what it is."""

import random
import zipfile

import pytest

from quantize_zoo.commands.places import matrix_at
from quantize_zoo.config import file_kinds, load_hardware, load_matrix, load_model_config, load_pot
from quantize_zoo.config.hardware import HardwareConfig
from quantize_zoo.config.matrix import MatrixFile
from quantize_zoo.config.model import ModelConfig
from quantize_zoo.errors import ConfigurationError
from quantize_zoo.graph.files import require_model
from quantize_zoo.scoring import read_definitions
from spoiling import FILES

KINDS = {
    "matrix.yml": "a matrix",
    "net.yml": "a model's YAML",
    "pot.json": "a configuration of POT",
    "checker.yml": "a configuration of the accuracy checker",
    "definitions.yml": "a file of the accuracy checker's definitions",
    "hardware.yml": "a hardware configuration",
    "net.xml": "an IR of a model",
}
READERS = {
    load_matrix: {"matrix.yml", "net.yml"},
    load_model_config: {"net.yml"},
    load_hardware: {"hardware.yml"},
    load_pot: {"pot.json"},
    read_definitions: {"definitions.yml"},
}
WRONG = [(reader, name) for reader, right in READERS.items() for name in KINDS if name not in right]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name, content in {**FILES, "net.xml": '<?xml version="1.0"?>\n<net name="x" version="11"></net>'}.items():
        (tmp_path / name).write_text(content)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("reader", "name"), WRONG, ids=lambda each: getattr(each, "__name__", each))
def test_a_file_of_another_kind_is_told_as_what_it_is(folder, reader, name):
    with pytest.raises(ConfigurationError, match=f"{name}(:1)?: this is {KINDS[name]}, no ") as told:
        reader(folder / name)
    assert told.value.remedy


def test_the_kinds_know_all_keys():
    assert file_kinds.MATRIX.keys == MatrixFile.model_fields.keys()
    assert file_kinds.HARDWARE.keys == HardwareConfig.model_fields.keys()
    set_by_loader = {name for name, field in ModelConfig.model_fields.items() if field.exclude}
    assert file_kinds.MODEL.keys == ModelConfig.model_fields.keys() - set_by_loader


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name: net\naccuracy_checker: checker.yml\n", "key 'model' is missing"),
        (
            "name: net\nmodle: net.xml\naccuracy_checker: checker.yml\n",
            "'modle'\n  -> did you mean 'model'",
        ),
        ("devices: [CPU]\n", "key 'models' is missing"),
        ("modles: [net.yml]\ndevices: [CPU]\n", "unknown key 'modles'\n  -> did you mean 'models'"),
        ("compression: {target_device: CPU}\n", "key 'name' is missing"),
        ("", "the file is empty"),
        ("- 1\n", "a mapping"),
    ],
)
def test_a_file_that_lacks_a_key_is_taken_for_what_its_others_are_of(folder, text, told):
    (folder / "odd.yml").write_text(text)
    with pytest.raises(ConfigurationError, match=told):
        load_matrix(folder / "odd.yml")


@pytest.mark.parametrize(
    "content", [b"SQLite format 3\0", b"PK\x03\x04", b"\x1f\x8b\x08", b"\x89PNG\r\n", b"\xff\xd8\xff\xe0"]
)
def test_what_is_no_text_is_told_as_what_it_is(folder, content):
    (folder / "odd.yml").write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"odd\.yml: this is a"):
        load_matrix(folder / "odd.yml")


def junk(folder, name):
    path = folder / name
    if name == "folder":
        path.mkdir()
    elif name.startswith("zip"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a", "b")
    else:
        path.write_bytes(
            {"empty": b"", "text": b"just text", "page": b"<?xml version='1.0'?><html/>"}.get(
                path.stem, random.Random(0).randbytes(2_000)
            )
        )
    return path


@pytest.mark.parametrize(
    "name",
    ["empty.onnx", "empty.xml", "text.xml", "text.onnx", "text.txt", "page.xml", "noise.onnx", "noise.pb", "folder",
     "noise.tflite", "noise.pt", "zip.onnx", "zip.pt"],
)  # fmt: skip
def test_what_is_no_model_is_told_in_one_message(folder, name, capfd):
    path = junk(folder, name)
    with pytest.raises(ConfigurationError, match=f"MODEL: .*{name} is no model: "):
        require_model(path, "MODEL")
    assert capfd.readouterr() == ("", "")  # converters in C++ say much more


PROPERTIES = (
    "models: [net.yml]\ndevices:\n- CPU\n- device: {device}\n  device_config:\n    NUM_STREAMS: 2\n    {asked}\n"
)


@pytest.mark.parametrize("device", ["CPU", "'AUTO:CPU'", "AUTO", "'HETERO:CPU'", "'BATCH:CPU'"])
@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (
            "ENABLE_CPU_PINING: false",
            "has no property 'ENABLE_CPU_PINING' that can be set\n  -> did you mean 'ENA",
        ),
        ("enable_cpu_pinning: false", "has no property 'enable_cpu_pinning' that .*\n  -> did you mean 'ENABLE_CPU_P"),
        ("FULL_DEVICE_NAME: x", "has no property 'FULL_DEVICE_NAME' that can be set"),
        ("ENABLE_CPU_PINNING: maybe", "does not take 'maybe': "),
        ("INFERENCE_NUM_THREADS: four", "does not take 'four': "),
        ("INFERENCE_PRECISION_HINT: f33", "does not take 'f33': "),
    ],
)
def test_a_plugin_property_that_the_device_does_not_take_is_told(folder, device, asked, told):
    (folder / "matrix.yml").write_text(PROPERTIES.format(device=device, asked=asked))
    with pytest.raises(ConfigurationError, match=rf"matrix.yml:7: devices.1.device_config.\w+: [\w:]+ {told}"):
        matrix_at(folder / "matrix.yml", [], [], {})


def test_properties_of_devices_that_are_not_here_are_not_asked_about(folder):
    (folder / "matrix.yml").write_text(PROPERTIES.format(device="GPU.7", asked="ENABLE_CPU_PINING: false"))
    assert len(matrix_at(folder / "matrix.yml", [], [], {}).devices) == 2


def test_properties_that_devices_take_make_nothing(folder):
    before = set(folder.rglob("*"))
    (folder / "matrix.yml").write_text(PROPERTIES.format(device="CPU", asked="CACHE_DIR: cache"))
    assert len(matrix_at(folder / "matrix.yml", [], [], {}).devices) == 2
    assert set(folder.rglob("*")) == before
