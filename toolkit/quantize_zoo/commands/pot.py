"""``pot``: POT's command line and its configuration files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from quantize_zoo.commands.lines import say, tell
from quantize_zoo.commands.options import SeedOption
from quantize_zoo.commands.output import hand_over
from quantize_zoo.commands.places import writable
from quantize_zoo.commands.running import run_matrix_in
from quantize_zoo.text.slugs import slug

if TYPE_CHECKING:
    from quantize_zoo.config import PotJob

LogLevel = Literal["CRITICAL", "ERROR", "WARNING", "INFO", "DEBUG"]
_QUIET = ("CRITICAL", "ERROR")
_INSTEAD = {
    "--progress-bar": "progress is shown where standard error is a terminal",
    "--stream-output": "progress is lines where standard error is no terminal",
    "--keep-uncompressed-weights": "weights are written at full precision; OpenVINO stores them as INT8 when it "
    "compiles",
    "--generate-data": "data_free makes its pictures wherever there are none",
}


def _instead(*names: str, help: str, min: float | None = None) -> Any:  # noqa: A002 -- as typer calls them
    """Return an option that is read where no configuration is named."""
    return typer.Option(*names, help=help, min=min, rich_help_panel="Without a configuration")


def _ignored(*names: str, help: str = "Ignored.") -> Any:  # noqa: A002
    """Return an option that POT had and that has no meaning here."""
    return typer.Option(*names, help=help, rich_help_panel="Without a meaning here")


def pot(
    path: Annotated[
        Path | None, typer.Argument(metavar="[CONFIG]", help="A configuration of POT: JSON with comments, or YAML.")
    ] = None,
    config: Annotated[Path | None, typer.Option("--config", "-c", help="The same.")] = None,
    quantize: Annotated[
        Literal["default", "accuracy_aware"] | None,
        _instead("--quantize", "-q", help="Quantize without a configuration."),
    ] = None,
    model: Annotated[Path | None, _instead("--model", "-m", help="The model, .xml.")] = None,
    weights: Annotated[Path | None, _instead("--weights", "-w", help="Its weights, .bin.")] = None,
    preset: Annotated[
        Literal["performance", "mixed"] | None, _instead(help="Symmetric, or with asymmetric activations.")
    ] = None,
    ac_config: Annotated[Path | None, _instead(help="The accuracy checker's configuration.")] = None,
    max_drop: Annotated[float | None, _instead(help="Largest drop of the metric, for accuracy_aware.", min=0)] = None,
    engine: Annotated[
        Literal["accuracy_checker", "simplified", "data_free"] | None, typer.Option(help="What gives the data.")
    ] = None,
    data_source: Annotated[Path | None, typer.Option(help="Pictures, for simplified and data_free.")] = None,
    shape: Annotated[str | None, typer.Option(help="Of a dynamic input, for data_free: [1, 3, 224, 224].")] = None,
    name: Annotated[str | None, typer.Option("--name", "-n", help="Name of the model, not the file's.")] = None,
    evaluate: Annotated[bool, typer.Option("--evaluate", "-e", help="Score the quantized model.")] = False,
    output_dir: Annotated[Path, typer.Option(help="Folder for the quantized model.")] = Path("results"),
    direct_dump: Annotated[
        bool, typer.Option("--direct-dump", "-d", help="Write it into its folder optimized, as POT did.")
    ] = False,
    log_level: Annotated[LogLevel, typer.Option(help="ERROR and CRITICAL leave warnings out.")] = "INFO",
    seed: SeedOption = 0,
    progress_bar: Annotated[bool, _ignored("--progress-bar")] = False,
    stream_output: Annotated[bool, _ignored("--stream-output")] = False,
    keep_uncompressed_weights: Annotated[bool, _ignored("--keep-uncompressed-weights")] = False,
    generate_data: Annotated[bool, _ignored("--generate-data")] = False,
    data_type: Annotated[Literal["image"], _ignored(help="Images are all that POT made.")] = "image",
) -> None:
    """Run a configuration of POT, or POT's command line, as it is."""
    from quantize_zoo.config import PotOptions, load_pot, pot_of_options
    from quantize_zoo.config.pot import check_options

    if config is not None and path is not None:
        raise typer.BadParameter("a configuration is named twice", param_hint="--config")
    given = dict(zip(_INSTEAD, (progress_bar, stream_output, keep_uncompressed_weights, generate_data), strict=True))
    warnings = tuple(f"{option} is ignored: {why}" for option, why in _INSTEAD.items() if given[option])
    options = PotOptions(
        config or path, quantize, model, weights, preset, ac_config, max_drop, engine, data_source, shape, warnings
    )
    check_options(options)
    job = pot_of_options(options) if options.config is None else load_pot(options.config, options)
    job = replace(job, name=slug(name or job.name))  # of a model's file, which may be called anything
    _run(job, output_dir, log_level, seed, direct=direct_dump, evaluate=evaluate)


def _run(job: PotJob, output_dir: Path, log_level: LogLevel, seed: int, *, direct: bool, evaluate: bool) -> None:
    from quantize_zoo.matrix import copy_model, pot_matrix, quantize_once, require_usable, with_weights_beside

    def warn(text: str) -> None:
        if log_level not in _QUIET:
            tell(f"warning: {text}")

    for warning in job.warnings:
        warn(warning)
    folder = output_dir / "optimized" if direct else output_dir
    written = folder / f"{job.name}.xml"
    with writable(folder, "--output-dir"):
        for warning in require_usable(job, scored=evaluate or job.is_search):
            warn(warning)
        beside = with_weights_beside(job, output_dir / "model")
        if job.is_search:
            rendered, reports = run_matrix_in(output_dir / "reports", pot_matrix(beside), None, seed)
        else:
            metrics = quantize_once(beside, written, evaluate=evaluate, tell=warn)
    if not job.is_search:
        for metric, value in metrics.items():
            say(f"{metric}: {value}")
        tell(f"model: {written}")
        return
    final = rendered.run.cells[0].final
    if final is not None:
        copy_model(reports / final.model, written)
        tell(f"model: {written}")
    hand_over(rendered, reports, as_json=False)
