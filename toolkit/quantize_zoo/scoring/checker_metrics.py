"""The accuracy checker's metrics of a dataset: told of samples, asked for values; the tuned one has to be a number."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantize_zoo import errors
from quantize_zoo.scoring.checker_failures import cause_of, failed_part, lacks_names, lacks_package
from quantize_zoo.scoring.metric_values import is_higher_better, is_single, metric_of, named_values, values_of
from quantize_zoo.scoring.preprocessing import sample_name
from quantize_zoo.scoring.replicates import others_than

Pair = tuple[Any, Any]  # the annotation of a sample, and the prediction
_OF_ALL = "overall_metric"  # the values of samples in metrics of Dice's coefficient
_ADDED_UP = 1e-12  # of a metric's value, by which sums of floating point numbers may differ

# What the checker says where a metric finds nothing that it takes.
_NOT_FOUND = re.compile(r"suitable (annotation|prediction) for metric \S+ not found")

_SHAPES = re.compile(r"could not be broadcast together with shapes (.*\S)")  # as NumPy says it


class CheckerMetrics:
    """The metrics of one pass after the other.

    Args:
        executor: the checker's, with its metrics.
        config: their part of the checker's configuration.
        tuned: the name of the tuned one, or of a value of one.

    """

    def __init__(self, executor: Any, config: Any, tuned: str) -> None:
        self.executor = executor
        self._config = config
        self._tuned = tuned
        self._told = executor  # of each sample
        self._untold: frozenset[str] | None = None  # metrics that need not be; None before a pass has shown it
        self._of_last: Sequence[Any] = ()  # the results of the last sample

    @property
    def names(self) -> list[str]:
        """The checker's names of all metrics."""
        return [each.name for each in self.executor.metrics]

    @property
    def tunes_a_value(self) -> bool:
        """Whether one of a metric's values is tuned, and not the metric's one number."""
        return self._tuned not in ("", *self.names)

    @property
    def need_predictions(self) -> bool:
        """Whether a metric is of all annotations and predictions of a pass together."""
        return bool(self.executor.need_store_predictions)

    @property
    def first_choices(self) -> dict[str, int]:
        """Of each metric that looks at the best classes of a sample how many."""
        found = {each.name: getattr(each.metric_fn, "top_k", None) for each in self.executor.metrics}
        return {name: count for name, count in found.items() if isinstance(count, int)}

    def begin_pass(self) -> None:
        """Take new metrics: some of the checker's keep the last sample of a pass when they are reset."""
        self.executor = self._new_executor()
        self._told = copy.copy(self.executor)
        self._told.metrics = [each for each in self.executor.metrics if each.name not in (self._untold or ())]

    def _new_executor(self) -> Any:
        made = type(self.executor)(copy.deepcopy(self._config), self.executor.dataset)
        for each in made.metrics:  # one has a list for all that there ever are
            if _OF_ALL in vars(type(each.metric_fn)):
                setattr(each.metric_fn, _OF_ALL, [])
        return made

    def update(self, index: int, annotation: list[Any], prediction: list[Any]) -> Any:
        """Tell the metrics of the sample at an index; return the checker's results of it by index.

        Raises:
            CellError: a metric does not take it.

        """
        try:
            results, _ = self._told.update_metrics_on_batch([index], annotation, prediction)
        except Exception as error:  # metrics raise what indexing an annotation of another task raises
            sample = sample_name(annotation[0].identifier) if annotation and annotation[0] is not None else ""
            raise self._of_another_task(error, annotation, prediction) or self._failed(error, sample) from error
        self._of_last = results[index]
        return results

    def evaluate(self, annotations: Sequence[Any], predictions: Sequence[Any]) -> dict[str, float]:
        """Return the values of all metrics of a pass; raises as ``numbers``, and where the checker fails."""
        try:
            found = [result for _, result in self.executor.iterate_metrics(annotations, predictions)]
        except Exception as error:
            raise self._failed(error) from error
        if self._untold is None and len(annotations) > 1:
            self._untold = frozenset(self._found_untold(annotations, predictions, found))
        return self.numbers(found)

    def _found_untold(
        self, annotations: Sequence[Any], predictions: Sequence[Any], found: Sequence[Any]
    ) -> Iterator[str]:
        """Yield the metrics that next passes need not tell of single samples, which for mAP is most of their time.

        Those are metrics that give a sample no number of its own, and that compute of all samples together, untold,
        what they did when they were told of each.
        """
        values = {each.name: np.asarray(each.evaluated_value) for each in found}
        of_samples = {each.metric_name for each in self._of_last if is_single(each.result)}
        for each in self._new_executor().metrics:
            if each.name in of_samples or not hasattr(each.metric_fn, "submit_all"):
                continue
            try:
                untold = np.asarray(each.metric_fn(annotations, predictions))
                if values[each.name].any() and np.array_equal(untold, values[each.name], equal_nan=True):
                    yield each.name
            except Exception as error:  # of what only the told have
                print(f"metric {each.name!r} is told of each sample: {cause_of(error)}")  # to the cell's log

    def numbers(self, results: Iterable[Any]) -> dict[str, float]:
        """Return the one number of each of the checker's results, and that of the tuned value of one.

        Raises:
            CellError: the tuned metric has no single number, or no such value.

        """
        found: dict[str, float] = {}
        owner = metric_of(self._tuned, self.names)
        for each in results:
            values = values_of(each.name, each.evaluated_value, each.meta)
            if each.name == owner and self._tuned not in values:
                named = named_values(each.name, each.evaluated_value, each.meta)
                if self._tuned not in named:
                    raise errors.metric_not_scalar(self._tuned, named)
                values[self._tuned] = named[self._tuned]
            found |= values
        return found

    def value_of(self, pairs: Sequence[Pair], metric: str) -> float:
        """Return a metric, or a value of one, of these annotations and predictions; begins a pass.

        Raises:
            CellError: it cannot be computed, or is no single number.

        """
        return self._value(self._told_of(pairs, metric), pairs, metric)

    def values_without(
        self, pairs: Sequence[Pair], metric: str, whole: float, groups: Sequence[NDArray[np.int64]]
    ) -> list[float]:
        """Return the same of all pairs but each group's.

        A metric that adds up what it is told (confusion matrices) is told of each pair once: what it has of the others
        is the sum of theirs. It is taken for such if the sum of all groups makes ``whole``, which it is of all pairs.
        """
        rests = [[pairs[index] for index in others_than(group, len(pairs))] for group in groups]
        states = self._states_without(pairs, metric, whole, groups)
        if states is None:
            return [self.value_of(rest, metric) for rest in rests]
        return [self._of_state(state, rest, metric) for state, rest in zip(states, rests, strict=True)]

    def _states_without(
        self, pairs: Sequence[Pair], metric: str, whole: float, groups: Sequence[NDArray[np.int64]]
    ) -> list[dict[str, Any]] | None:
        """Return what a metric has added up of all pairs but each group's; None where it does not add up."""
        told: list[dict[str, Any]] = []
        for group in groups:
            state = getattr(self._told_of([pairs[index] for index in group], metric), "state", None)
            if not state or not isinstance(state, dict) or (told and state.keys() != told[0].keys()):
                return None
            told.append(state)
        try:
            total = {name: sum(each[name] for each in told) for name in told[0]}
            if not np.isclose(self._of_state(total, pairs, metric), whole, rtol=_ADDED_UP, atol=0):
                return None
            return [{name: total[name] - each[name] for name in total} for each in told]
        except (TypeError, ValueError, AttributeError, errors.QuantizeZooError):  # no numbers, or more than they count
            return None

    def _of_state(self, state: dict[str, Any], pairs: Sequence[Pair], metric: str) -> float:
        function = self._told_of([], metric)
        function.state = state
        return self._value(function, pairs, metric)

    def _told_of(self, pairs: Sequence[Pair], metric: str) -> Any:
        """Begin a pass; return the checker's metric, told of some samples."""
        self.begin_pass()
        owner = metric_of(metric, self.names)
        function = next(each.metric_fn for each in self.executor.metrics if each.name == owner)
        try:
            for annotation, prediction in () if owner in (self._untold or ()) else pairs:  # as in a pass
                function.submit(annotation, prediction)
        except Exception as error:
            raise self._failed(error) from error
        return function

    def _value(self, function: Any, pairs: Sequence[Pair], metric: str) -> float:
        try:
            value = function([each for each, _ in pairs], [each for _, each in pairs])
        except Exception as error:
            raise self._failed(error) from error
        name = str(function.name)
        values = values_of(name, value, function.meta)
        values = values if metric in values else named_values(name, value, function.meta)
        if metric not in values:
            raise errors.metric_not_scalar(metric, values)
        return values[metric]

    def higher_is_better(self, metric: str) -> bool:
        """Tell which way a metric, or a value of one, gets better, as the checker says."""
        owner = metric_of(metric, self.names)
        meta: Mapping[str, Any] = next(
            (each.metric_fn.meta for each in self.executor.metrics if each.name == owner), {}
        )
        return is_higher_better(metric, owner or metric, meta)

    def _of_another_task(
        self, error: Exception, annotation: list[Any], prediction: list[Any]
    ) -> errors.QuantizeZooError | None:
        """Return the error of a metric that takes no such annotation or prediction; None where it is another one."""
        part = failed_part(error)
        found = _NOT_FOUND.match(str(error))
        metric = next((each.metric_fn for each in self.executor.metrics if part and each.name == part.name), None)
        if found is None or metric is None:
            return None
        given, wanted = (
            (annotation, metric.annotation_types) if found[1] == "annotation" else (prediction, metric.prediction_types)
        )
        kinds = ", ".join(dict.fromkeys(type(each).__name__ for each in given))
        return errors.metric_of_another_task(metric.name, found[1], [each.__name__ for each in wanted], kinds)

    def _failed(self, error: Exception, sample: str = "") -> errors.QuantizeZooError:
        part = failed_part(error)
        names = [part.name] if part is not None and part.key == "metrics" else self.names
        if lacks_names(error, getattr(self.executor.dataset, "metadata", None)):
            return errors.no_names_of_classes(f"metric {names[0]!r}")
        if lacking := lacks_package(error, f"metric {names[0]!r}", "metrics"):
            return lacking
        if isinstance(error, OSError):
            return errors.annotation_file_unreadable(f"metric {names[0]!r}", sample, errors.message_of(error))
        if sample and (shapes := _SHAPES.search(str(error))):
            return errors.annotation_of_another_shape(names[0], sample, shapes[1])
        return errors.metric_failed(names, cause_of(error), sample)
