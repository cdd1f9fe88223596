"""Every command in README.md and CONTRIBUTING.md runs, in the order and with the arguments that are printed there."""

import configparser
import re
import shlex
import sys
from pathlib import Path

import pytest

from quantize_zoo import cli

ROOT = Path(__file__).parents[2]


def commands(document):
    """Command lines of the shell blocks, split at && and without comments."""
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / document).read_text(), flags=re.DOTALL)
    lines = [line.split("#")[0] for block in blocks for line in block.splitlines()]
    return [shlex.split(part) for line in lines for part in line.split("&&") if part.strip()]


def run(arguments, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["quantize-zoo", *arguments])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return stop.value.code


def test_commands_of_the_readme_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    # The embedded matrix runs at the device's default precision, which a limited instruction set does not have.
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    own = [arguments for program, *arguments in commands("README.md") if program == "quantize-zoo"]
    assert {arguments[0] for arguments in own} >= {"doctor", "check", "run", "report"}
    for arguments in own:
        assert run(arguments, monkeypatch) == 0, (arguments, capsys.readouterr().err)
    assert (tmp_path / "reports" / "latest" / "index.html").is_file()


def test_environments_that_the_documents_name_exist():
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini")
    text = (ROOT / "README.md").read_text() + (ROOT / "CONTRIBUTING.md").read_text()
    named = set(re.findall(r"tox -e ([\w-]+)", text))
    assert named
    assert {f"testenv:{name}" for name in named} <= set(tox.sections())


def test_every_other_command_of_the_readme_is_an_installation():
    others = [line for line in commands("README.md") if line[0] not in ("quantize-zoo", "tox")]
    assert [line[-2:] for line in others] == [["install", "tox"], ["install", "."]]


def test_the_documented_model_yaml_is_valid(tmp_path, zoo):
    readme = (ROOT / "README.md").read_text()
    example = re.findall(r"```yaml\n(.*?)```", readme, flags=re.DOTALL)[0]
    (tmp_path / "my-model.yml").write_text(example)
    (tmp_path / "my-model.onnx").write_bytes((zoo / "embedded" / "digits-mobilenet.onnx").read_bytes())
    (tmp_path / "accuracy-check.yml").write_bytes((zoo / "embedded" / "accuracy-check.yml").read_bytes())
    assert cli._load(tmp_path / "my-model.yml", [], [], {}).models[0].name == "my-model"
