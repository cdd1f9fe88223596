"""The databases that the store runs on."""

import pytest


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request):
    """The suite runs against both databases."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def sqlite(tmp_path):
    return f"sqlite:///{tmp_path / 'sub' / 'store.db'}"
