"""Every command in README.md and CONTRIBUTING.md runs, in the order and with the arguments that are printed there."""

import configparser
import fnmatch
import re
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import yaml

from quantize_zoo import cli
from quantize_zoo.commands.places import matrix_at
from quantize_zoo.scoring.checker_entries import PREFIX_VARIABLES

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
    named = {name for listed in re.findall(r"tox -e ([\w,-]+)", text) for name in listed.split(",")}
    assert named >= {"quantize-zoo", "tests", "benchmarks"}
    assert {f"testenv:{name}" for name in named} <= set(tox.sections())


def test_the_main_environment_passes_on_every_variable_that_the_command_reads():
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini")
    passed = tox["testenv:quantize-zoo"]["pass_env"].split()
    code = "\n".join(path.read_text() for path in (ROOT / "toolkit").rglob("*.py"))
    read = set(re.findall(r"""(?:environ\.get\(|environ\[|envvar=)["'](\w+)""", code))
    read |= set(re.findall(r"""^\w*VARIABLE = ["'](\w+)""", code, re.MULTILINE))
    read |= set(PREFIX_VARIABLES.values())
    read.discard("HOME")  # which tox passes on by itself
    read.discard("PYTEST_XDIST_TESTRUNUID")  # of pytest's plugin, which runs in an environment of its user's
    assert read >= {"GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "QUANTIZE_ZOO_STORE", "DATA_DIR", "ONEDNN_MAX_CPU_ISA"}
    assert not [name for name in read if not any(fnmatch.fnmatch(name, pattern) for pattern in passed)]


def test_every_other_command_of_the_readme_is_an_installation():
    others = [line for line in commands("README.md") if line[0] not in ("quantize-zoo", "tox")]
    assert [line[-2:] for line in others] == [["install", "tox"], ["install", "."]]


def test_compose_file_is_valid():
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*command, ROOT / "docs" / "compose.yml"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    services = yaml.safe_load((ROOT / "docs" / "compose.yml").read_text())["services"]
    assert services.keys() == {"scheduler", "worker-1", "worker-2", "store", "client"}


@pytest.mark.parametrize("file", ["compose.yml", "kubernetes.yml"])
def test_workers_of_the_documented_clusters_have_options_that_there_are(file, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "200")
    assert run(["worker", "--help"], monkeypatch) == 0
    known = set(re.findall(r"--[a-z][a-z-]+", capsys.readouterr().out))
    text = (ROOT / "docs" / file).read_text()
    workers = re.findall(r"\[quantize-zoo, worker,(.*?)\]", text, flags=re.DOTALL)
    assert workers
    for worker in workers:
        assert set(re.findall(r"--[a-z][a-z-]+", worker)) <= known


def test_documented_slurm_cluster_makes_a_job(monkeypatch):
    """Without Slurm: what would be submitted."""
    jobqueue = pytest.importorskip("dask_jobqueue", reason="it is a part of the extra test")
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "cluster.md").read_text(), flags=re.DOTALL)
    monkeypatch.setattr(jobqueue.SLURMCluster, "scale", lambda self, jobs: None)
    values = {}
    exec(code, values)
    with values["cluster"] as cluster:
        script = cluster.job_script()
    assert "#SBATCH --exclusive" in script
    assert "--nthreads 1" in script
    assert "--resources accuracy=1,latency=1" in script


def test_the_documented_fleet_is_valid(tmp_path, zoo):
    """README's and the one of the search's page, which is indented."""
    texts = [(ROOT / name).read_text() for name in ("README.md", "docs/search.md")]
    found = [re.search(r"^ *devices:\n *- fleet.*\n *members.*\n", text, flags=re.MULTILINE)[0] for text in texts]
    for text in found:
        model = zoo / "embedded" / "digits-mobilenet.yml"
        (tmp_path / "all.yml").write_text(f"models: [{model}]\n{textwrap.dedent(text)}")
        (fleet,) = matrix_at(tmp_path / "all.yml", [], [], {}).devices
        assert (fleet.label, len(fleet.members)) == ("servers", 3)


def test_the_documented_model_yaml_is_valid(tmp_path, zoo):
    readme = (ROOT / "README.md").read_text()
    example = re.findall(r"```yaml\n(.*?)```", readme, flags=re.DOTALL)[0]
    (tmp_path / "my-model.yml").write_text(example)
    (tmp_path / "my-model.onnx").write_bytes((zoo / "embedded" / "digits-mobilenet.onnx").read_bytes())
    (tmp_path / "accuracy-check.yml").write_bytes((zoo / "embedded" / "accuracy-check.yml").read_bytes())
    assert matrix_at(tmp_path / "my-model.yml", [], [], {}).models[0].name == "my-model"
