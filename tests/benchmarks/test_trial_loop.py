"""The trial loop on a real model: what a trial costs beside compiling, evaluating and measuring."""

import pytest
from searching import Memory, open_session, search

TRIALS = 16
SCOPE = {"tuning_scope": ["layer", "range_estimator"], "estimator_tuning_scope": ["preset"]}


@pytest.fixture(scope="module")
def found():
    session, prepared, config = open_session("digits-mobilenet", "f32", SCOPE, max_trials=TRIALS)
    return session, prepared, config


def test_trial_costs_little_beside_what_it_measures(benchmark, found):
    session, prepared, config = found
    result = benchmark.pedantic(search, args=(Memory(session), session, prepared, config, 0), rounds=1)
    # The first suggestion of TPE prepares hyperopt's graph, once a search.
    spent = [trial.seconds for trial in result.trials[1:] if trial.reused_from is None]
    work = sum(each.compile + each.accuracy + each.latency for each in spent)
    ratio = sum(each.total for each in spent) / work
    benchmark.extra_info["wall / (compile + evaluate + measure)"] = ratio
    benchmark.extra_info["trials a minute"] = 60 * len(result.trials) / sum(t.seconds.total for t in result.trials)
    assert len(result.trials) == TRIALS
    assert ratio < 1.15
