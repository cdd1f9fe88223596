"""Operations and kernels of a cell in ``results.json``: each name is there once, and a number wherever it is meant."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from quantize_zoo.report.documents import (
    ExecutedDocument,
    LayersDocument,
    OperationsDocument,
    SurveyDocument,
    SurveyedMember,
)
from quantize_zoo.scoring import Executed, LayerTime
from quantize_zoo.search import OperationSurvey, Survey
from quantize_zoo.store import CellRecord
from quantize_zoo.text.plain import measured


@dataclass
class Names:
    """Texts by the numbers that they get in the order in which they are met."""

    numbers: dict[str, int] = field(default_factory=dict)

    def number(self, text: str) -> int:
        """Return a text's number."""
        return self.numbers.setdefault(text, len(self.numbers))

    def all_of(self, texts: Iterable[str]) -> tuple[int, ...]:
        """Return the numbers of texts."""
        return tuple(map(self.number, texts))


class OperationTable:
    """The table of a cell: what is added to it by the parts of its document, and in the end the table itself."""

    def __init__(self, cell: CellRecord) -> None:
        self._names, self._kernels, self._types = Names(), Names(), Names()
        self._sensitivity = cell.sensitivity
        self._kinds = cell.reference.operation_types if cell.reference else {}
        for name in (*self._kinds, *self._sensitivity):
            self._names.number(name)

    def layers(self, layers: tuple[LayerTime, ...]) -> LayersDocument:
        """Return the times of layers, column by column."""
        return LayersDocument(
            operation=self._names.all_of(each.name for each in layers),
            reference_us=tuple(measured(each.reference_us) for each in layers),
            candidate_us=tuple(measured(each.candidate_us) for each in layers),
            reference_kernel=self._kernels.all_of(each.reference_kernel for each in layers),
            candidate_kernel=self._kernels.all_of(each.candidate_kernel for each in layers),
        )

    def executed(self, executed: Executed) -> ExecutedDocument:
        """Return what the device executes, its operations column by column."""
        operations = executed.operations
        return ExecutedDocument(
            operation=self._names.all_of(each.name for each in operations),
            precision=tuple(each.precision for each in operations),
            kernel=self._kernels.all_of(each.kernel for each in operations),
            conversions=executed.conversions,
            compressed=executed.compressed,
        )

    def survey(self, survey: Survey) -> SurveyDocument:
        """Return what was known before the first trial, operations column by column."""
        operations = survey.operations

        def times(of: Callable[[OperationSurvey], float]) -> tuple[float | None, ...]:
            return tuple(measured(of(each)) if survey.has_times else None for each in operations)

        return SurveyDocument(
            operation=self._names.all_of(each.name for each in operations),
            fp32_us=times(lambda each: each.fp32_us),
            int8_us=times(lambda each: each.int8_us),
            entering_us=times(lambda each: each.entering_us),
            leaving_us=times(lambda each: each.leaving_us),
            output_change=tuple(measured(each.change) for each in operations),
            speedup=survey.speedup,
            seconds=survey.seconds,
            members=tuple(SurveyedMember(each.name, each.speedup) for each in survey.members),
        )

    def document(self) -> OperationsDocument:
        """Return the table, of all that was added so far."""
        names = tuple(self._names.numbers)
        kinds = tuple(self._kinds.get(name) for name in names)
        types = tuple(None if kind is None else self._types.number(kind) for kind in kinds)
        return OperationsDocument(
            name=names,
            type=types,
            sensitivity=tuple(measured(self._sensitivity.get(name)) for name in names),
            types=tuple(self._types.numbers),
            kernels=tuple(self._kernels.numbers),
        )
