"""Several requests of a compiled model: while one answer is looked at, the next ones are inferred."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import suppress
from typing import Any

import openvino as ov
from numpy.typing import NDArray

_REQUESTS_A_STREAM = 2  # one runs, one waits, so that no stream idles while Python looks at an answer

Answer = list[NDArray[Any]]


def requests_of(compiled: Any) -> int:
    """Return how many requests keep all streams busy."""
    return int(_REQUESTS_A_STREAM * compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))


def infer_ahead(
    compiled: Any,
    requests: int,
    count: int,
    inputs_of: Callable[[int, Any, Answer | None], Mapping[str, NDArray[Any]]],
) -> Generator[Answer, None, None]:
    """Yield the outputs of one inference after the other; no more are held than there are requests.

    Args:
        compiled: the model.
        requests: how many are made.
        count: of inferences.
        inputs_of: returns the inputs of an inference by its number, the request that it takes, and what that has
            answered before.

    Raises:
        RuntimeError: inference fails.

    """
    queue = ov.AsyncInferQueue(compiled, requests)
    try:
        for index in range(count + requests):
            request, answer = queue[index % requests], None
            if index >= requests:
                request.wait()
                answer = [tensor.data.copy() for tensor in request.output_tensors]
            if index < count:
                request.start_async(inputs_of(index, request, answer), share_inputs=True)
            if answer is not None:
                yield answer
    finally:
        for request in queue:
            with suppress(RuntimeError):  # of others that failed, too: the first one is told
                request.wait()
