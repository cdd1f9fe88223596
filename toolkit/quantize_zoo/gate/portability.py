"""Where the best model does not hold: environments in which it surely loses more than the target allows."""

from __future__ import annotations

import math
from collections.abc import Iterator

from quantize_zoo.config import OptimizerParams
from quantize_zoo.scoring import Estimate
from quantize_zoo.search import meets_accuracy
from quantize_zoo.store import Elsewhere, Final


def is_surely_beyond(loss: Estimate | None, params: OptimizerParams) -> bool:
    """Tell whether all of a loss's interval is beyond the target; of one without an interval nothing is sure."""
    low = None if loss is None else loss.low
    return low is not None and math.isfinite(low) and not meets_accuracy(low, params)


def fails_elsewhere(found: Elsewhere, params: OptimizerParams) -> bool:
    """Tell whether a model surely loses too much in an environment."""
    return _beyond(found, params) is not None


def portability_warnings(final: Final, params: OptimizerParams) -> Iterator[str]:
    """Yield where a model of a search surely loses too much, on samples that the search never saw or on its own.

    Nowhere, if it does so on the device that it was searched for: that is no matter of the environment.
    """
    here = (final.loss, None if final.holdout is None else final.holdout.accuracy_loss)
    if any(is_surely_beyond(each, params) for each in here):
        return
    for each in final.portability:
        found = _beyond(each, params)
        if found is not None:
            loss, samples = found
            assert loss.low is not None, "it is surely beyond"
            yield (
                f"not portable to {each.environment}: there the best loses at least {100 * loss.low:.2f} % of FP32 "
                f"{samples}, {params.accuracy_loss:g} % are allowed"
            )


def _beyond(found: Elsewhere, params: OptimizerParams) -> tuple[Estimate, str] | None:
    if found.holdout is not None and is_surely_beyond(found.holdout.accuracy_loss, params):
        return found.holdout.accuracy_loss, "on samples that the search never saw"
    if found.accuracy_loss is not None and is_surely_beyond(found.accuracy_loss, params):
        return found.accuracy_loss, "on the samples of the search"
    return None
