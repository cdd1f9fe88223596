"""Inferring preprocessed samples by a compiled model: many at once, or one after another where steps build on steps."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Hashable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from quantize_zoo import errors
from quantize_zoo.graph.requests import Answer, infer_ahead, requests_of
from quantize_zoo.graph.states import Steps
from quantize_zoo.scoring.inputs import InputArrays
from quantize_zoo.scoring.launcher import InputFitter
from quantize_zoo.scoring.predictor import Outputs
from quantize_zoo.scoring.preprocessing import Sample
from quantize_zoo.scoring.runtimes import ModelProcess


@dataclass(frozen=True)
class Inference:
    """Infers samples by models that have the inputs and outputs of one.

    ``inputs`` are those of all samples, ``outputs`` the names of the model's; ``fitter`` knows which inputs are fed
    with answers. ``stateful`` models carry states, along ``sequences`` where these tell whose step each sample is.
    """

    inputs: InputArrays
    outputs: tuple[str, ...]
    fitter: InputFitter
    stateful: bool
    sequences: Sequence[Hashable] | None

    def fed(self, samples: Sequence[Sample]) -> Sequence[Mapping[str, NDArray[Any]]]:
        """Return the inputs of these samples, one for each inference that they take; as ``Steps`` along sequences."""
        found = [self.inputs.get(part) for sample in samples for part in sample.parts]
        return found if self.sequences is None else Steps(found, self._continues(samples))

    def outputs_of(self, compiled: Any, samples: Sequence[Sample]) -> Generator[Outputs, None, None]:
        """Yield the outputs of one inference after the other; requests for the next ones run meanwhile.

        The compiled model may be one that a process has loaded into its first slot.

        Raises:
            CellError: inference fails.

        """
        if isinstance(compiled, ModelProcess):
            yield from compiled.infer(self.fed(samples))
            return
        parts = [(part, part > sample.parts[0]) for sample in samples for part in sample.parts]
        goes_on = self._continues(samples)

        def inputs_of(index: int, request: Any, answer: Answer | None) -> Mapping[str, NDArray[Any]]:
            if self.stateful and not goes_on[index]:
                request.reset_state()
            position, later = parts[index]
            inputs = self.inputs.get(position)
            if self.fitter.carries_states and later and answer is not None:
                inputs = {**inputs, **self.fitter.next_states(self._named(answer))}
            return inputs

        try:
            requests = self._requests(compiled, samples)
            with closing(infer_ahead(compiled, requests, len(parts), inputs_of)) as answers:
                for answer in answers:
                    yield self._named(answer)
        except RuntimeError as error:
            raise errors.inference_failed("inference", errors.message_of(error)) from error

    def _named(self, answer: Answer) -> Outputs:
        return dict(zip(self.outputs, answer, strict=True))

    def _requests(self, compiled: Any, samples: Sequence[Sample]) -> int:
        """Return how many run at once: one where steps are taken in order."""
        steps = self.stateful and any(len(each.parts) > 1 for each in samples)
        if self.sequences is not None or self.fitter.carries_states or steps:
            return 1
        return requests_of(compiled)

    def _continues(self, samples: Sequence[Sample]) -> list[bool]:
        """Tell of each inference whether it is the step after the one before it."""
        sequences = self.sequences
        follow = [False] * len(samples)
        if sequences is not None:
            follow[1:] = [
                other.index == one.index + 1 and sequences[one.index] == sequences[other.index]
                for one, other in itertools.pairwise(samples)
            ]
        goes_on = zip(samples, follow, strict=True)
        return [part > 0 or follows for sample, follows in goes_on for part in range(len(sample.parts))]
