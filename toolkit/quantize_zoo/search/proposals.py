"""What a stage tries next: along the frontier or by an informed start, then the sampler's in turns with others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from quantize_zoo.config import OptimizerParams
from quantize_zoo.quantization import ModelOption, OperationOption, SearchSpace
from quantize_zoo.search.everywhere import Everywhere
from quantize_zoo.search.hopeless import FarOff, times_too_far
from quantize_zoo.search.labels import Choices, base_choices, choices_of, option_of
from quantize_zoo.search.objective import meets_accuracy
from quantize_zoo.search.recorder import TrialRecorder
from quantize_zoo.search.startup import startup_choices
from quantize_zoo.search.survey import Survey
from quantize_zoo.search.trial import Trial, TrialKind
from quantize_zoo.search.walk import FrontierWalk, reaches_size

if TYPE_CHECKING:
    from quantize_zoo.search.sampler import TpeSampler

# The share of a stage's trials that may go into its start.
_STARTUP_SHARE = 0.2
_ASKED = ("informed", "search")  # kinds of trials that the sampler was asked for
_TURNS = 3  # of which one is the sampler's, once the walk has ended
USED_UP = "nothing is left to try"

_Quantized = tuple[str, OperationOption, tuple[str, ...]]  # an operation, how, and with which steps of the pipeline


@dataclass(frozen=True)
class StagePlan:
    """A stage of a search: where it starts, what it may choose, and when it ends.

    ``types`` and ``errors`` are as in ``startup_choices``; the stage goes on until there are ``until`` trials in all.
    ``beside`` is evaluated after the base, whatever the limits are. With a ``survey`` of the operations it begins with
    a walk along their frontier, and ends where nothing can pay.
    """

    number: int
    base: ModelOption
    space: SearchSpace
    until: int
    types: Mapping[str, str]
    errors: Mapping[str, float]
    beside: Trial | None = None
    survey: Survey | None = None


class Proposals:
    """The trials that a stage asks for, each once, and what it learns of those that ended.

    Args:
        plan: the stage, whose space has choices.
        recorder: the search's.
        seed: of the search.
        base: the stage's first trial, if it is still to be made.

    """

    def __init__(self, plan: StagePlan, recorder: TrialRecorder, seed: int, base: Trial | None) -> None:
        # hyperopt takes a second to import, which what searches nothing does without.
        from quantize_zoo.search.sampler import TpeSampler

        known = [trial for trial in recorder.trials if trial.stage == plan.number]
        first = known[0].number if known else len(recorder.trials)
        count = round(_STARTUP_SHARE * (plan.until - first))
        as_pot = recorder.params.compatibility == "pot"
        self._plan, self._recorder, self._seed = plan, recorder, (seed, plan.number)
        self._walk = None if as_pot else _walk(plan, recorder.params)
        self._everywhere = None if self._walk is None else Everywhere(plan.space, plan.base, plan.types, count)
        self._startup: Sequence[Choices] = []
        if self._walk is None and not as_pot:
            self._startup = startup_choices(plan.space, plan.types, plan.errors, count, self._seed)
        self._asked: dict[str, Choices | None] = {  # by option
            each.option_hash: None for each in (base, plan.beside) if each is not None
        }
        self._first = first
        self._far_off: FarOff[_Quantized] = FarOff()
        self._measured = {trial.structure for trial in recorder.trials if trial.measurement is not None}
        self._sampler = TpeSampler(
            plan.space, self._seed, self._startup, as_pot=as_pot, is_known=self._is_known, is_hopeless=self._is_hopeless
        )
        self.why_ended = USED_UP
        for trial in known:
            self.tell(trial)
        self._sampler.skip(sum(trial.kind in _ASKED for trial in known))

    def tell(self, trial: Trial) -> None:
        """Learn of a trial that has ended."""
        choices = choices_of(self._plan.space, trial.option)
        too_far = self._learn_too_far(trial)
        if self._walk is not None and self._everywhere is not None:
            best = self._everywhere.best
            self._everywhere.tell(trial)
            if self._everywhere.best != best:
                self._walk.forget_far_off()
            as_best = choices is not None and self._everywhere.is_best(choices)
            self._walk.tell(trial, decides=choices is None or as_best, as_best=as_best, too_far=too_far)
        if choices is not None:
            self._sampler.tell(choices, trial.loss)

    def ask(self, untold: Sequence[Trial], *, several: bool) -> Trial | None:
        """Return the next trial; None where none is left, or none can pay, which ``why_ended`` tells then.

        Args:
            untold: trials that were asked for, and not told yet.
            several: whether more than one is evaluated at a time. One that runs is no news; several are, so that what
                is asked for beside them looks elsewhere.

        """
        if self._walk is not None and self._cannot_pay(self._walk):
            bound = f"{self._walk.bound():.2f}x"
            within = " within the accuracy target" if self._walk.knows_inaccurate else ""
            told = f"is predicted to be more than {bound} as fast as FP32 (95 %): keep FP32"
            self.why_ended = f"no INT8 model{within} {told}"
            return None
        walked = None
        if self._walk is not None and self._everywhere is not None:
            best = self._everywhere.best
            walked = self._everywhere.next(self._sampler) or _walked(
                self._walk, self._plan, self._sampler, self._seed, best
            )
        pending = [choices for each in untold if (choices := self._asked.get(each.option_hash)) is not None]
        choices = walked or self._sampler.ask(pending if several else [])
        if choices is None:
            return None
        kind: TrialKind = "informed" if walked or choices in self._startup else "search"
        trial = self._drafted(kind, choices)
        self._asked[trial.option_hash] = choices
        return trial

    def _learn_too_far(self, trial: Trial) -> float:
        """Return how many times too far from accurate enough a trial is; the smallest such options are kept."""
        params = self._recorder.params
        too_far = times_too_far(trial, params, self._measured)
        if trial.measurement is not None:
            self._measured.add(trial.structure)
        if trial.option.has_compressed_weights or trial.option.is_fp32:
            return too_far
        accurate = trial.score is not None and meets_accuracy(trial.score.accuracy_loss, params)
        self._far_off.tell(_quantized(trial.option), accurate=accurate, times=too_far)
        return too_far

    def _cannot_pay(self, walk: FrontierWalk) -> bool:
        """Tell whether nothing can pay; of compressed weights it is not known.

        Where what loses the accuracy is what says so, and there are other estimators, half of the trials may find one.
        """
        if self._plan.space.offers_compressed_weights or not walk.cannot_pay():
            return False
        has_others = self._everywhere is not None and self._everywhere.has_others
        made = len(self._recorder.trials) - self._first
        return not (walk.knows_inaccurate and has_others) or 2 * made >= self._plan.until - self._first

    def _is_known(self, choices: Choices) -> bool:
        trial = self._drafted("search", choices)
        return trial.option_hash in self._asked or self._recorder.is_known(trial)

    def _is_hopeless(self, choices: Choices) -> bool:
        return bool(self._far_off.smallest) and self._far_off.has(
            _quantized(option_of(self._plan.space, self._plan.base, choices))
        )

    def _drafted(self, kind: TrialKind, choices: Choices) -> Trial:
        return self._recorder.draft(kind, self._plan.number, option_of(self._plan.space, self._plan.base, choices))


def _quantized(option: ModelOption) -> frozenset[_Quantized]:
    """Return what an option quantizes, and how."""
    return frozenset((name, choice, option.steps) for name, choice in option.operations.items() if choice.quantize)


def _walk(plan: StagePlan, params: OptimizerParams) -> FrontierWalk | None:
    """Return the walk along the frontier; None without a survey, or where all that it proposes would be too large."""
    if plan.survey is None or (plan.space.offers_compressed_weights and not reaches_size(plan.survey, params)):
        return None
    return FrontierWalk(plan.survey, plan.base, params)


def _walked(
    walk: FrontierWalk, plan: StagePlan, sampler: TpeSampler, seed: Sequence[int], changed: Choices
) -> Choices | None:
    """Return choices of the walk, until it has bracketed the target or found no way to, then in two of three turns.

    ``changed`` are choices beside those of what is quantized.
    """
    quantized = walk.next() or walk.alone()
    if quantized is None and sampler.asked % _TURNS:
        quantized = walk.beside(np.random.default_rng([*seed, sampler.asked]))
    if quantized is None:
        return None
    left_out = {}
    for name in set(walk.frontier.names) - quantized:
        values = [branch.value for branch in plan.space.operations[name].branches]
        if False in values:
            left_out[f"operation {name}"] = values.index(False)
    choices = sampler.take(base_choices(plan.space, changed | left_out))
    if choices is None:
        walk.drop(quantized)
    return choices
