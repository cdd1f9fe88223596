"""Whatever is wrong with an input: a message, the right status, no traceback, nothing that hangs, nothing written."""

import random
from collections import Counter

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzzing import KINDS, World, attempts
from quantize_zoo.text.from_yaml import parse_yaml
from spoiling import FILES

COUNT = 150  # of each kind; tests/benchmarks/fuzz.py takes as many as there is time for
SEED = 22
IN_YAML = sorted(name for name, kind in KINDS.items() if kind.file.endswith(".yml"))
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["CPU", "net.yml"]),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=10), values, max_size=3),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("spoiled"))


@pytest.mark.parametrize("kind", [name for name, kind in KINDS.items() if kind.file])
def test_good_files_are_taken(world, kind):
    """Else what is refused below would be refused for another reason."""
    attempt = world.attempt(kind, random.Random(0), FILES[KINDS[kind].file])
    assert attempt.verdict == "taken", attempt.message


@pytest.mark.parametrize("kind", KINDS)
def test_spoiled_inputs(tmp_path, kind):
    found = list(attempts(tmp_path / "world", SEED, range(COUNT), (kind,)))
    faults = [(each.problem, each.text[:500], each.message[:500]) for each in found if each.problem]
    assert not faults
    assert Counter(each.verdict for each in found)["clean"] > COUNT // 3, "the mutator spoils nothing"


@pytest.mark.parametrize("kind", IN_YAML)
@settings(max_examples=40)
@given(data=st.data())
def test_any_value_at_any_place(world, kind, data):
    content = parse_yaml(FILES[KINDS[kind].file]).data
    path, value = data.draw(st.sampled_from(list(paths(content)))), data.draw(VALUES)
    attempt = world.attempt(kind, random.Random(0), yaml.safe_dump(put(content, path, value), allow_unicode=True))
    assert not attempt.problem, (attempt.message, attempt.text)


def paths(data, at=()):
    children = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in children:
        yield (*at, key)
        yield from paths(value, (*at, key))


def put(data, path, value):
    """The data with a value at a path."""
    if not path:
        return value
    copied = dict(data) if isinstance(data, dict) else dict(enumerate(data))
    copied[path[0]] = put(copied[path[0]], path[1:], value)
    return copied if isinstance(data, dict) else list(copied.values())
