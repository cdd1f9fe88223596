"""The search: POT's objective, hyperopt's TPE behind ask/tell, and the trial loop."""

from quantize_zoo.search.loop import SearchPlan, iterate_trials
from quantize_zoo.search.objective import Score, loss, meets_accuracy, rank, relative_accuracy_loss
from quantize_zoo.search.sampler import TpeSampler
from quantize_zoo.search.trial import Measurement, Seconds, Trial, best_trial, pareto_front

__all__ = [
    "Measurement",
    "Score",
    "SearchPlan",
    "Seconds",
    "TpeSampler",
    "Trial",
    "best_trial",
    "iterate_trials",
    "loss",
    "meets_accuracy",
    "pareto_front",
    "rank",
    "relative_accuracy_loss",
]
