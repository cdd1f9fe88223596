"""An exported file that does not compute what was scored is not delivered."""

import numpy as np
import pytest

from matrices import session_of
from quantize_zoo.config import load_matrix
from quantize_zoo.errors import CellError
from quantize_zoo.graph import nodes_by_name, save_model
from quantize_zoo.graph.opset import opset13 as ops
from quantize_zoo.matrix import expand
from quantize_zoo.scoring import proof
from quantize_zoo.search import Known


@pytest.fixture(scope="module")
def prepared(shared_small, tmp_path_factory):
    """A session of the small matrix's cell, its base option, and what that scored."""
    folder = tmp_path_factory.mktemp("session")
    (cell,) = expand(load_matrix(shared_small.path))
    session = session_of(cell, folder)
    base = session.prepare().base
    session.calibrate(base)
    return session, base, session.evaluate(base, Known(), prune=False).scored.accuracy.value


def moved(model, path):
    """Write another model than the one that was given."""
    save_model(another(model), path)


def another(model):
    """Another model than the given one: one of its constants is moved."""
    other = model.clone()
    node = next(node for node in nodes_by_name(other).values() if node.get_type_name() == "FakeQuantize")
    high = node.input_value(2).get_node().data
    for port in (2, 4):
        node.input(port).replace_source_output(ops.constant(np.float32(0.5) * high).output(0))
    return other


def test_a_file_that_is_what_was_scored_is_proven(prepared, tmp_path):
    session, base, accuracy = prepared
    finished = session.finish(base, accuracy, tmp_path / "net.xml")
    assert finished.proof.metric == accuracy
    assert finished.proof.identical == 16
    assert finished.proof.repeats


def test_weights_stay_what_they_are_where_integers_compute_something_else(prepared, tmp_path, monkeypatch):
    session, base, accuracy = prepared
    session.export(base, accuracy, tmp_path / "integers.xml")
    with monkeypatch.context() as patch:
        patch.setattr(proof, "with_integer_weights", another)
        session.export(base, accuracy, tmp_path / "net.xml")
    assert (tmp_path / "net.bin").stat().st_size > 2 * (tmp_path / "integers.bin").stat().st_size


def test_a_file_that_computes_something_else_is_not_delivered(prepared, tmp_path, monkeypatch):
    session, base, accuracy = prepared
    monkeypatch.setattr(proof, "save_model", moved)
    for deliver in (session.finish, session.export):
        with pytest.raises(CellError, match="does not compute what was scored: outputs of 16 samples"):
            deliver(base, accuracy, tmp_path / "net.xml")
        assert list(tmp_path.iterdir()) == []


def test_a_file_with_another_metric_than_its_trial_is_not_delivered(prepared, tmp_path):
    session, base, _ = prepared
    with pytest.raises(CellError, match=r"accuracy@top1: 0\.123 in the trial, .* of the file"):
        session.finish(base, 0.123, tmp_path / "net.xml")
    assert list(tmp_path.iterdir()) == []
