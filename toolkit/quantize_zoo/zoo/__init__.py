"""Where models come from: Open Model Zoo, a file to start a YAML from; and what can be said of them without running."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quantize_zoo.zoo.checker_files import Finding, check_checker_file, is_checker_file
    from quantize_zoo.zoo.complete import complete_matrix, complete_model
    from quantize_zoo.zoo.open_model_zoo import definitions_file, fetch_model, zoo_checker_files
    from quantize_zoo.zoo.starter import write_starter
else:
    from quantize_zoo.exports import exports_of

    __getattr__ = exports_of(__name__)

__all__ = [
    "Finding",
    "check_checker_file",
    "complete_matrix",
    "complete_model",
    "definitions_file",
    "fetch_model",
    "is_checker_file",
    "write_starter",
    "zoo_checker_files",
]
