"""Open Model Zoo: models by name, through openvino-dev's own downloader and converter.

The downloader runs as it is. The converter calls Model Optimizer, which left OpenVINO; in its place it is given
``mo_by_ovc.py``, which does the same with OpenVINO's converter where that can.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from quantize_zoo import errors
from quantize_zoo.scoring import find_checker, find_overlay

# A folder of model.yml files in place of openvino-dev's own, for models that one describes in the same way.
MODELS_VARIABLE = "QUANTIZE_ZOO_OMZ_MODELS"
CACHE_VARIABLE = "QUANTIZE_ZOO_OMZ_CACHE"
_PRECISION = "FP32"
_TOOL = """
import pathlib, sys
import openvino
sys.modules.setdefault("openvino.runtime", openvino)
overlay, models, tool = sys.argv[1:4]
if overlay:
    openvino.__path__.append(overlay)
from openvino.model_zoo import _common
if models:
    _common.MODEL_ROOT = pathlib.Path(models)
module = __import__("openvino.model_zoo." + tool, fromlist=["main"])
sys.argv = [tool, *sys.argv[4:]]
module.main()
"""


@dataclass(frozen=True)
class ZooFiles:
    """What Open Model Zoo has of a model before it is downloaded; ``quantization`` is POT's part, if there is one."""

    description: Path
    accuracy_check: Path
    definitions: Path
    quantization: Path | None


def zoo_files(name: str) -> ZooFiles:
    """Return the files of a model.

    Raises:
        ConfigurationError: there is no such model, or it has no accuracy-check.yml.

    """
    known = {path.parent.name: path for path in sorted(_models_folder().rglob("model.yml"))}
    if name not in known:
        raise errors.unknown_zoo_model(name, known)
    folder = known[name].parent
    accuracy_check = folder / "accuracy-check.yml"
    if not accuracy_check.is_file():
        raise errors.zoo_model_without_checker(name)
    quantization = folder / "quantization.yml"
    return ZooFiles(
        description=known[name],
        accuracy_check=accuracy_check,
        definitions=definitions_file(),
        quantization=quantization if quantization.is_file() else None,
    )


def zoo_checker_files() -> Iterator[Path]:
    """Yield every accuracy-check.yml of Open Model Zoo."""
    yield from sorted(_models_folder().rglob("accuracy-check.yml"))


def definitions_file() -> Path:
    """Return Open Model Zoo's dataset_definitions.yml."""
    return _package() / "data" / "dataset_definitions.yml"


def fetch_model(name: str) -> Path:
    """Return the FP32 IR of a model, downloaded and converted if the cache does not have it.

    What the two tools print goes to standard error.

    Raises:
        CellError: the download or the conversion fails.

    """
    folder = zoo_files(name).description.parent.relative_to(_models_folder())
    cache = Path(os.environ.get(CACHE_VARIABLE) or Path.home() / ".cache" / "quantize-zoo" / "open_model_zoo")
    model = cache / folder / _PRECISION / f"{name}.xml"
    if model.is_file():
        return model
    common = ["--name", name, "--precisions", _PRECISION]
    output = _run("omz_downloader", [*common, "--output_dir", str(cache), "--cache_dir", str(cache / ".downloads")])
    if output:
        raise errors.zoo_download_failed(name, cache / folder, output)
    if not model.is_file():  # Intel's own models are downloaded as IR
        converter = Path(__file__).with_name("mo_by_ovc.py")
        output = _run("omz_converter", [*common, "--download_dir", str(cache), "--mo", str(converter)])
        if output or not model.is_file():
            raise errors.zoo_conversion_failed(name, model, output or "it wrote no model")
    return model


def _run(tool: str, arguments: list[str]) -> str:
    """Run one of openvino-dev's tools; return why it failed, nothing if it did not."""
    overlay = find_overlay()
    boot = [str(overlay / "openvino") if overlay else "", os.environ.get(MODELS_VARIABLE, ""), tool]
    command = [sys.executable, "-c", _TOOL, *boot, *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    assert process.stdout is not None, "it is a pipe"
    told = []
    for line in process.stdout:
        print(line, end="", file=sys.stderr)
        if line.strip():
            told.append(line.strip())
    if process.wait() == 0:
        return ""
    causes = [line for line in told if "rror" in line and not line.startswith("#")]
    return (causes or told or [f"exit status {process.returncode}"])[-1]


def _package() -> Path:
    """Return the folder of openvino-dev's model_zoo package, beside the accuracy checker that was found.

    Raises:
        ConfigurationError: there is none.

    """
    find_checker()
    overlay = find_overlay()
    if overlay and (overlay / "openvino" / "model_zoo").is_dir():
        return overlay / "openvino" / "model_zoo"
    try:
        return Path(str(importlib.import_module("openvino.model_zoo").__file__)).parent
    except ImportError:
        raise errors.no_open_model_zoo() from None


def _models_folder() -> Path:
    given = os.environ.get(MODELS_VARIABLE)
    return Path(given) if given else _package() / "models"
