"""POT's command line: what its options say, as the file that they stand for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from quantize_zoo import errors
from quantize_zoo.config.pot.source import OPTIONS, PotSource
from quantize_zoo.text.paths import is_file

Method = Literal["default", "accuracy_aware"]
EngineName = Literal["accuracy_checker", "simplified", "data_free"]
_ALGORITHMS = {"default": "DefaultQuantization", "accuracy_aware": "AccuracyAwareQuantization"}
_STATISTICS_SAMPLES = 300  # of POT's templates


@dataclass(frozen=True)
class PotOptions:
    """The options of POT's command that say what is done; ``warnings`` are of those that have no meaning here."""

    config: Path | None = None
    quantize: Method | None = None
    model: Path | None = None
    weights: Path | None = None
    preset: Literal["performance", "mixed"] | None = None
    ac_config: Path | None = None
    max_drop: float | None = None
    engine: EngineName | None = None
    data_source: Path | None = None
    shape: str | None = None
    warnings: tuple[str, ...] = ()


def check_options(options: PotOptions) -> None:
    """Check that the options go together, by POT's rules.

    Raises:
        ConfigurationError: they do not.

    """
    if options.config is not None and options.quantize is not None:
        raise errors.bad_pot_usage("a configuration and -q: one of the two", "name a file, or -q with -m and -w")
    if options.config is not None:
        _refuse_beside_a_file(options)
        return
    if options.quantize is None:
        raise errors.bad_pot_usage(
            "neither a configuration nor -q", "name a file of POT, or -q default with -m MODEL.xml and -w MODEL.bin"
        )
    if options.model is None or options.weights is None:
        raise errors.bad_pot_usage("-q needs a model and its weights", "add -m MODEL.xml and -w MODEL.bin")
    if options.engine in (None, "accuracy_checker") and options.ac_config is None:
        raise errors.bad_pot_usage(
            "-q needs data", "add --ac-config ACCURACY-CHECK.yml, or --engine simplified --data-source FOLDER"
        )
    if options.quantize == "accuracy_aware" and options.max_drop is None:
        raise errors.bad_pot_usage("-q accuracy_aware needs the largest drop", "add --max-drop, such as 0.01")
    if options.quantize == "default" and options.max_drop is not None:
        raise errors.bad_pot_usage("--max-drop belongs to -q accuracy_aware", "remove it, or name that method")
    if options.engine == "simplified" and options.data_source is None:
        raise errors.bad_pot_usage("--engine simplified needs pictures", "add --data-source FOLDER")


def read_options(options: PotOptions) -> PotSource:
    """Return the file that POT's options stand for, as POT's templates have it.

    Raises:
        ConfigurationError: the options do not go together, or name a file that is not there.

    """
    check_options(options)
    named = {"--model": options.model, "--weights": options.weights, "--ac-config": options.ac_config}
    for option, file in named.items():
        if file is not None and not is_file(file):
            raise errors.file_missing(file, option, beside=False)
    assert options.quantize is not None, "the options are checked"
    params: dict[str, Any] = {
        "preset": options.preset or "performance",
        "stat_subset_size": _STATISTICS_SAMPLES,
    }
    if options.quantize == "accuracy_aware":
        params["maximal_drop"] = options.max_drop
    engine: dict[str, Any] = {} if options.ac_config is None else {"config": str(options.ac_config)}
    data = {
        "model": {"model": str(options.model), "weights": str(options.weights)},
        "engine": engine,
        "compression": {"algorithms": [{"name": _ALGORITHMS[options.quantize], "params": params}]},
    }
    return PotSource(Path("pot"), data, {}, OPTIONS)


def _refuse_beside_a_file(options: PotOptions) -> None:
    beside = {
        "--model": options.model,
        "--weights": options.weights,
        "--preset": options.preset,
        "--ac-config": options.ac_config,
        "--max-drop": options.max_drop,
    }
    for option, value in beside.items():
        if value is not None:
            raise errors.bad_pot_usage(
                f"a configuration and {option}: one of the two", f"remove {option}, or write it into the file"
            )
