"""States of a model (ReadValue, Assign): when they begin anew, and when they go on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

if TYPE_CHECKING:
    import openvino as ov

Inputs = Mapping[str, NDArray[Any]]


class Steps(list[Inputs]):
    """Samples that are steps of sequences: with a sample that ``continues``, states go on where they were left.

    Args:
        samples: the value of each input, sample by sample.
        continues: tells for each sample whether it goes on with the sequence of the one before.

    """

    def __init__(self, samples: Iterable[Inputs], continues: Sequence[bool]) -> None:
        super().__init__(samples)
        self.continues = tuple(continues)


def is_stateful(model: ov.Model) -> bool:
    """Tell whether a model has states."""
    return bool(model.get_sinks())


def continues(samples: Iterable[Inputs], index: int) -> bool:
    """Tell whether states go on with a sample; they begin anew with each that is no step of a sequence."""
    return isinstance(samples, Steps) and samples.continues[index]


def infer_in_order(compiled: Any, samples: Iterable[Inputs]) -> Iterator[list[NDArray[Any]]]:
    """Yield the outputs of a compiled model for one sample after another, with states as the samples ask for.

    Raises:
        RuntimeError: inference fails.

    """
    request = compiled.create_infer_request()
    for index, sample in enumerate(samples):
        if not continues(samples, index):
            request.reset_state()
        yield [value.copy() for value in request.infer(dict(sample)).values()]
