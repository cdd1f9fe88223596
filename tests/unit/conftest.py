"""The databases that the store runs on."""

from multiprocessing import forkserver

import pytest


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request):
    """The suite runs against both databases."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def sqlite(tmp_path):
    return f"sqlite:///{tmp_path / 'sub' / 'store.db'}"


@pytest.fixture(scope="module")
def own_server():
    """A process has one server that forks; what these tests import there is not what the process of a cell does."""
    forkserver._forkserver._stop()
    yield
    forkserver._forkserver._stop()
