"""What a walk along the frontier tries first: one kind of choice changed for all operations."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from itertools import chain, islice, zip_longest
from typing import TYPE_CHECKING

from quantize_zoo.quantization import ModelOption, SearchSpace, option_hash
from quantize_zoo.search.labels import Choices, base_choices, option_of, roots
from quantize_zoo.search.startup import compressed_choices, whole_model_choices
from quantize_zoo.search.trial import Trial

if TYPE_CHECKING:
    from quantize_zoo.search.sampler import TpeSampler


class Everywhere:
    """One kind of choice changed for all operations: estimators, modes, steps of the pipeline, compressed weights.

    That costs little: of most the structure is the base's, whose latency is known. The walk goes on with the most
    accurate of those that quantize as the base does, ``best``, which is the base until another one is.

    Args:
        space: what may be chosen.
        base: the stage's base.
        types: of the operations.
        most: how many are tried.

    """

    def __init__(self, space: SearchSpace, base: ModelOption, types: Mapping[str, str], most: int) -> None:
        self._space, self._roots = space, roots(space).keys()
        others = [choices for _, choices in whole_model_choices(space)]
        turns = chain.from_iterable(zip_longest(others, compressed_choices(space, types)))
        moves = list(islice((choices for choices in turns if choices is not None), most))
        self._left = deque(moves)
        self._made = {option_hash(option_of(space, base, each)): each for each in moves if each in others}
        self._made[option_hash(base)] = {}
        self._losses: dict[str, float] = {}

    @property
    def has_others(self) -> bool:
        """Whether there is another way to quantize everything than the base's."""
        return len(self._made) > 1

    @property
    def best(self) -> Choices:
        """The most accurate choices; of equal ones those that were made first."""
        found = min(self._losses, key=self._losses.__getitem__, default=None)
        return {} if found is None else self._made[found]

    def is_best(self, choices: Choices) -> bool:
        """Tell whether choices are the best ones but for what is quantized, and the steps of the pipeline."""
        own = {label: index for label, index in choices.items() if label in self._roots}
        return base_choices(self._space, self.best | own) == choices

    def next(self, sampler: TpeSampler) -> Choices | None:
        """Return what was not tried yet."""
        while self._left:
            if (choices := sampler.take(self._left.popleft())) is not None:
                return choices
        return None

    def tell(self, trial: Trial) -> None:
        """Learn the loss of one of them."""
        if trial.score is not None and trial.option_hash in self._made:
            self._losses.setdefault(trial.option_hash, trial.score.accuracy_loss)
