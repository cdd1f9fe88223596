"""The engine of a POT file: the accuracy checker's configuration, a folder of pictures, or pictures of noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from quantize_zoo import errors
from quantize_zoo.config.model import CheckerPaths
from quantize_zoo.config.numbers import ShareAboveZero
from quantize_zoo.config.pot.source import NO_MEANING, PotSource, ignored, place_of
from quantize_zoo.config.strict import Strict
from quantize_zoo.config.yaml_source import ConfigSource, Key, read_yaml, validate
from quantize_zoo.text.paths import is_file, is_folder

Layout = Literal["NCHW", "NHWC", "CHW", "HWC"]
_PATHS = ("source", "annotations", "models", "model_attributes")
_CHECKER_KEYS = ("config", "launchers", "datasets", "name", "module", "module_config", "definitions", *_PATHS)
_TYPES = ("accuracy_checker", "simplified", "data_free")
_PARTS = ("optimization", "evaluation")  # of datasets that are a mapping
_FREE_KEYS = frozenset({"type", "name", "device", "evaluate", *NO_MEANING})
_OPEN = (None, "None", "?", "-1", -1)  # sizes that say nothing
Size = Annotated[int, Field(gt=0)]


class Images(Strict):
    """The simplified engine: pictures fed as they are after resizing.

    ``data_source`` is a folder, a pattern of file names, or a text file with one name a line; without ``layout`` it is
    read off the model's input. ``shape`` is that of the engine data_free, where it finds pictures.
    """

    data_source: Path
    layout: Layout | None = None
    central_fraction: ShareAboveZero | None = None
    shape: tuple[Size | None, ...] | None = None


class Noise(Strict):
    """The engine data_free: pictures of random noise, made here.

    ``shape`` gives sizes to dimensions that the model leaves open; None leaves them.
    """

    layout: Layout | None = None
    shape: tuple[Size | None, ...] | None = None

    @field_validator("layout", mode="before")
    @classmethod
    def _pots_layouts(cls, value: Any) -> Any:
        return "HWC" if value == "CWH" else value  # POT's documentation spells it so

    @field_validator("shape", mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        """Take a list, or POT's text of one: "[1, 3, None, None]"."""
        if isinstance(value, str):
            value = [each.strip() for each in value.strip().strip("[]()").split(",")]
        return [None if each in _OPEN else each for each in value] if isinstance(value, list) else value


@dataclass(frozen=True)
class CheckerEngine:
    """The accuracy checker's configuration, a path to it or its content.

    ``paths`` and ``definitions`` are as in a model's YAML; ``content_source`` is the file with the content,
    whose entry stands at the keys ``before``; ``parts`` are the names that its datasets have there, if they have some.
    """

    config: Path | dict[str, Any]
    paths: CheckerPaths
    definitions: Path | None
    content_source: ConfigSource
    before: tuple[Key, ...]
    parts: tuple[str, ...] = ()

    @property
    def calibration(self) -> int:
        """The number of the dataset that calibration takes."""
        return max(0, len(self.parts) - 1)

    def where(self, keys: Sequence[Key]) -> str:
        """Return the place of keys of the content, which begin with the kind and the number of its one entry."""
        own = list(keys[2:])
        if self.parts and own[:1] == ["datasets"] and len(own) > 1:
            own[1] = self.parts[int(own[1])]
            shared = own[2:3] == ["preprocessing"] and (*self.before, *own[:3]) not in self.content_source.lines
            own = [own[0], *own[2:]] if shared else own
        return self.content_source.where((*self.before, *own))


Engine = CheckerEngine | Images | Noise


def read_engine(source: ConfigSource, engine: dict[str, Any], warnings: list[str]) -> Engine:
    """Return what a POT file's engine is; its paths start at the working directory.

    Raises:
        ConfigurationError: it is none of POT's engines, or names what is not there.

    """
    kind = engine.get("type", "accuracy_checker")
    if kind not in _TYPES:
        raise errors.unknown_value(source.where(("engine", "type")), "engine.type", str(kind), _TYPES)
    warnings += [ignored(source, ("engine", key), NO_MEANING[key]) for key in engine if key in NO_MEANING]
    if kind == "accuracy_checker":
        return _checker(source, engine, warnings)
    others = [key for key in engine if key in _CHECKER_KEYS and key != "name"]
    option = source.option(("engine", "type")) if isinstance(source, PotSource) else None
    why = f"{option or 'engine.type'} is {kind}"
    warnings += [ignored(source, ("engine", key), why) for key in others]
    options = {key: value for key, value in engine.items() if key not in (*_FREE_KEYS, *others)}
    return _images(source, options) if kind == "simplified" else _data_free(source, options, warnings)


def image_files(data_source: Path) -> list[Path]:
    """Return the files that a folder, a pattern or a list names, by name; of a list in its order."""
    if is_file(data_source):
        return [data_source.parent / name for _, name in _lines(data_source)]
    if is_folder(data_source):
        return sorted(each for each in data_source.iterdir() if each.is_file())
    try:
        return sorted(each for each in data_source.parent.glob(data_source.name or ".") if each.is_file())
    except (OSError, ValueError):  # no file has such a name, or it is no pattern
        return []


def _lines(path: Path) -> list[tuple[int, str]]:
    """Return what a list names, each with its line (from 1)."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise errors.file_unreadable(path, str(error)) from error
    return [(number, line) for number, line in enumerate(lines, 1) if line.strip()]


def _images(source: ConfigSource, options: dict[str, Any]) -> Images:
    if "shape" in options:  # of data_free
        raise errors.unknown_key(
            source.where(("engine", "shape")), "engine.shape", Images.model_fields.keys() - {"shape"}
        )
    images = validate(_ImagesFile, replace(source, data={"engine": options})).engine
    _require_source(source, images.data_source)
    return images


def _data_free(source: ConfigSource, options: dict[str, Any], warnings: list[str]) -> Images | Noise:
    """Return the pictures of a folder that has some, as POT did, else noise."""
    at = ("engine", "data_type")
    if (data_type := options.pop("data_type", "image")) != "image":
        raise errors.unknown_value(source.where(at), "engine.data_type", str(data_type), ["image"])
    options.pop("generate_data", None)  # there is nothing to download instead
    named = options.pop("data_source", None)
    folder = None if named is None else Path(str(named))
    noise = validate(_NoiseFile, replace(source, data={"engine": options})).engine
    if folder is not None and image_files(folder):
        _require_source(source, folder)
        return Images(data_source=folder, layout=noise.layout, shape=noise.shape)
    warnings.append(
        f"{source.where(('engine', 'type'))}: engine data_free calibrates on pictures of random noise, since there are "
        "no data: ranges may be far from those of real pictures; name some as data_source of the simplified engine"
    )
    return noise


def _require_source(source: ConfigSource, data_source: Path) -> None:
    where = place_of(source, ("engine", "data_source"))
    if is_file(data_source) and data_source.suffix != ".txt":
        raise errors.bad_value(
            where, "data_source", str(data_source), "must be a folder, a pattern of file names or a .txt list"
        )
    if not is_folder(data_source) and not image_files(data_source):
        raise errors.file_missing(data_source, where, beside=False)
    if is_file(data_source):
        for number, name in _lines(data_source):
            if not is_file(data_source.parent / name):
                labelled = is_file(data_source.parent / name.split()[0])
                raise errors.no_listed_picture(f"{data_source}:{number}", name, labelled=labelled)


def _checker(source: ConfigSource, engine: dict[str, Any], warnings: list[str]) -> CheckerEngine:
    # POT's command line put its --data-source into every engine.
    options = {key: value for key, value in engine.items() if key not in (*_FREE_KEYS, "data_source")}
    for key in options:
        if key not in _CHECKER_KEYS:
            raise errors.unknown_key(source.where(("engine", key)), f"engine.{key}", _CHECKER_KEYS)
    paths = CheckerPaths(**{key: Path(str(options.pop(key))).absolute() for key in _PATHS if key in options})
    definitions = options.pop("definitions", None)
    if definitions is not None:
        definitions = _file(source, "definitions", definitions)
    if "config" not in options:
        content = {"evaluations": [options]} if "module" in options else {"models": [{"name": "model", **options}]}
        return _with_parts(CheckerEngine(content, paths, definitions, source, ("engine",)))
    warnings += [
        ignored(source, ("engine", key), "engine.config names the configuration") for key in options if key != "config"
    ]
    configuration = _file(source, "config", options["config"])
    read = read_yaml(configuration)
    content = read.data if isinstance(read.data, dict) else {}
    found = _with_parts(CheckerEngine(content, paths, definitions, read, ("models", 0)))
    return found if found.calibration else replace(found, config=configuration, parts=())


def _with_parts(engine: CheckerEngine) -> CheckerEngine:
    """Return the engine with datasets as a list, where they are POT's mapping of what calibrates and what evaluates."""
    assert isinstance(engine.config, dict), "a path has been read"
    models = engine.config.get("models")
    entry = models[0] if isinstance(models, list) and models and isinstance(models[0], dict) else {}
    datasets = entry.get("datasets")
    if not isinstance(datasets, dict):
        return engine
    common = {"preprocessing": datasets["preprocessing"]} if "preprocessing" in datasets else {}
    named = {part: {**common, **datasets[part]} for part in _PARTS if isinstance(datasets.get(part), dict)}
    listed = [named[part] for part in reversed(_PARTS) if part in named]
    content = {**engine.config, "models": [{**entry, "datasets": listed}]}
    return replace(engine, config=content, parts=tuple(part for part in reversed(_PARTS) if part in named))


def _file(source: ConfigSource, key: str, named: Any) -> Path:
    path = Path(str(named)).absolute()
    if not is_file(path):
        raise errors.file_missing(Path(str(named)), place_of(source, ("engine", key)), beside=False)
    return path


class _ImagesFile(Strict):
    engine: Images


class _NoiseFile(Strict):
    engine: Noise
