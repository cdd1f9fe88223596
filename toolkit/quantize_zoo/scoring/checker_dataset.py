"""The accuracy checker's dataset of an entry, with its metrics and its pre- and postprocessing."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from quantize_zoo import errors
from quantize_zoo.scoring.annotations import LabelledOnce
from quantize_zoo.scoring.checker import Checker
from quantize_zoo.scoring.checker_failures import cannot_be_made
from quantize_zoo.scoring.checker_levels import Where
from quantize_zoo.scoring.checker_parts import unknown_names


@dataclass(frozen=True)
class CheckerDataset:
    """The checker's own objects; ``metrics`` is None where the configuration names none."""

    data: Any
    metrics: Any
    preprocessor: Any
    postprocessor: Any

    @property
    def annotations(self) -> list[Any]:
        """The annotations of its samples; none where there is nothing but data."""
        provider = self.data.annotation_provider
        return [] if provider is None else [provider[identifier] for identifier in self.data.identifiers]


def open_dataset(checker: Checker, entry: Mapping[str, Any], where: Where) -> CheckerDataset:
    """Convert the annotation of an entry's first dataset, and make all that goes with it.

    Args:
        checker: where the accuracy checker is.
        entry: as ``checker_entry`` returns it, with absolute paths.
        where: tells file and line of its keys.

    Raises:
        ConfigurationError: a part that it names is not the checker's, or does not take what it is told.
        CellError: the annotation is empty, contradicts itself, or cannot be read.

    """
    config = entry["datasets"][0]
    evaluator = checker.module("evaluators.quantization_model_evaluator")
    for unknown in unknown_names(entry, where):
        raise unknown
    labelled_once = LabelledOnce(evaluator)
    try:
        with labelled_once:
            # Some parts take out of their configuration what they have read, and are made again from it.
            parts = evaluator.create_dataset_attributes([copy.deepcopy(config)], "")
    except Exception as error:  # converters raise what their file formats raise
        # The checker has one message for an annotation that is not named and for one without samples.
        named = "annotation" in config or "annotation_conversion" in config
        if named and "path to converted annotation" in str(error):
            raise errors.empty_dataset(where(("datasets", 0))) from error
        raise cannot_be_made(error, entry, where, labelled_once.meta) from error
    labelled_once.require()
    found = CheckerDataset(*parts)
    if found.data.annotation_provider is None and not config.keys() & {"subset", "subset_file"}:
        found.data.create_data_list(sorted(found.data.identifiers))  # not in the file system's order
    return found
