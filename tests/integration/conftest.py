"""Small real matrices and clusters."""

import pytest

from clusters import Cluster
from matrices import SmallMatrix


@pytest.fixture
def small(tmp_path, zoo):
    return SmallMatrix(tmp_path, zoo)


@pytest.fixture(scope="module")
def shared_small(tmp_path_factory, zoo):
    return SmallMatrix(tmp_path_factory.mktemp("small"), zoo)


@pytest.fixture(scope="module")
def longer(tmp_path_factory, zoo):
    """A small matrix with trials enough to harm some.

    With a target of size, which all meet, no measurement ends the search before.
    """
    made = SmallMatrix(tmp_path_factory.mktemp("longer"), zoo)
    made.edit("net.yml", lambda model: model["optimizer"]["params"].update(max_trials=12, size_reduce=1))
    return made


@pytest.fixture
def cluster(tmp_path):
    """A Dask scheduler; workers are for the test to start."""
    made = Cluster(tmp_path)
    made.start_scheduler()
    yield made
    made.stop()
