"""Ground truth that lies in files: masks, pictures, fields of motion.

The checker's annotations read some of it anew whenever a metric asks, and keep some for good where they are asked. Here
it is read once and kept while there is memory for it, and what the dataset's annotations are stays what it was.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from quantize_zoo.scoring.inputs import InputArrays

_READ_WHEN_ASKED = ("mask", "value")


def with_ground_truth(annotation: Any, memory: InputArrays) -> Any:
    """Return an annotation that has read all of its ground truth, in a copy; None where there is no memory for that."""
    missing = [name for name in _READ_WHEN_ASKED if vars(annotation).get(f"_{name}", ...) is None]
    if not missing:
        return annotation
    found = copy.copy(annotation)
    for name in missing:
        try:
            value = getattr(found, name)
        except Exception:  # whoever scores the sample tells what is wrong with the file
            return None
        if not isinstance(value, np.ndarray) or not memory.reserve(value.nbytes):
            return None
        setattr(found, f"_{name}", value)
    return found
