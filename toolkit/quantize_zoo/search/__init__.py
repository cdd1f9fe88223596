"""The search: POT's objective, hyperopt's TPE behind ask/tell, and the trial loop."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quantize_zoo.search.evaluation import Candidates, Evaluation, EvaluationPool, Known, evaluate
    from quantize_zoo.search.frontier import Frontier
    from quantize_zoo.search.give_back import change_whole_model, is_met
    from quantize_zoo.search.labels import Choices, base_choices, choices_of, option_of
    from quantize_zoo.search.loop import run_alone, run_stage
    from quantize_zoo.search.members import MemberScore, combined_latency, is_slower
    from quantize_zoo.search.objective import (
        Score,
        is_allowed,
        loss,
        meets_accuracy,
        meets_latency,
        meets_size,
        meets_targets,
        relative_accuracy_loss,
    )
    from quantize_zoo.search.optimism import Optimism, predicted_optimism
    from quantize_zoo.search.proposals import StagePlan
    from quantize_zoo.search.pruning import ERROR_RATE, SequentialTest, can_prune
    from quantize_zoo.search.recorder import TrialRecorder
    from quantize_zoo.search.startup import startup_choices
    from quantize_zoo.search.survey import MemberSurvey, OperationSurvey, Survey, of_all
    from quantize_zoo.search.trial import (
        BestSoFar,
        Built,
        Measurement,
        Pruned,
        Scored,
        Seconds,
        Timed,
        Trial,
        TrialKind,
        best_trial,
        pareto_front,
        ranked,
    )
    from quantize_zoo.search.walk import unreachable_size
else:
    from quantize_zoo.exports import exports_of

    __getattr__ = exports_of(__name__)

__all__ = [
    "ERROR_RATE",
    "BestSoFar",
    "Built",
    "Candidates",
    "Choices",
    "Evaluation",
    "EvaluationPool",
    "Frontier",
    "Known",
    "Measurement",
    "MemberScore",
    "MemberSurvey",
    "OperationSurvey",
    "Optimism",
    "Pruned",
    "Score",
    "Scored",
    "Seconds",
    "SequentialTest",
    "StagePlan",
    "Survey",
    "Timed",
    "Trial",
    "TrialKind",
    "TrialRecorder",
    "base_choices",
    "best_trial",
    "can_prune",
    "change_whole_model",
    "choices_of",
    "combined_latency",
    "evaluate",
    "is_allowed",
    "is_met",
    "is_slower",
    "loss",
    "meets_accuracy",
    "meets_latency",
    "meets_size",
    "meets_targets",
    "of_all",
    "option_of",
    "pareto_front",
    "predicted_optimism",
    "ranked",
    "relative_accuracy_loss",
    "run_alone",
    "run_stage",
    "startup_choices",
    "unreachable_size",
]
