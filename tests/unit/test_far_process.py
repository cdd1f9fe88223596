"""A process on another machine, asked by messages that a test carries; the process and the models are real."""

import itertools
import tempfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from builders import model, parameter
from quantize_zoo.engines.dask.files import Cache
from quantize_zoo.errors import CellError
from quantize_zoo.graph import save_model, with_own_names
from quantize_zoo.graph.opset import opset13 as ops
from quantize_zoo.graph.states import Steps
from quantize_zoo.scoring import HostedProcess, Side, far_start, start_runtime
from quantize_zoo.scoring.far_process import Close, Contents, Give, Open, Request, Take

F32 = {"INFERENCE_PRECISION_HINT": "f32"}
SAMPLES = [{"x": np.full((1, 4), value, np.float32)} for value in range(5)]


class Wire:
    """Carries messages to processes of this machine, and keeps what was sent."""

    def __init__(self, folder, cache_bytes=10**9):
        self.cache = Cache(folder / "cache", cache_bytes)
        self.sent = []
        self._folder = folder
        self._open = {}

    def ask(self, channel, message):
        self.sent.append((channel, message))
        if isinstance(message, Open):
            stack = ExitStack()
            folder = Path(tempfile.mkdtemp(dir=self._folder))
            hosted = HostedProcess(stack.enter_context(start_runtime(isa=message.isa)), self.cache, folder)
            self._open[channel] = hosted, stack, folder
        elif isinstance(message, Close):
            self._open.pop(channel)[1].close()
        elif isinstance(message, Request | Contents):
            return self._open[channel][0].answer(message)
        return None

    def contents(self):
        """The sizes of the messages that carried contents."""
        return [len(message.of) for _, message in self.sent if isinstance(message, Contents)]

    def model_files(self):
        return sorted(path.name for _, _, folder in self._open.values() for path in folder.rglob("model.*"))


@pytest.fixture
def wire(tmp_path):
    return Wire(tmp_path)


def saved(path, weights):
    x = parameter((1, 4), "x")
    net = model(ops.multiply(x, ops.constant(np.array(weights, np.float32))), x)
    save_model(with_own_names(net), path)
    return Side(path, "CPU", F32)


def values(outputs):
    return [float(next(iter(each.values()))[0, 0]) for each in outputs]


def test_it_computes_what_a_process_here_does_and_gets_models_and_samples_once(wire, tmp_path):
    sides = [saved(tmp_path / f"{weight}.xml", [weight] * 4) for weight in (2, 3)]
    with far_start(wire.ask, "CPU[AVX2]", "AVX2")() as far, start_runtime() as here:
        assert far.openvino == here.openvino
        for side in sides:
            for process in (far, here):
                process.load(side)
            assert values(far.infer(SAMPLES)) == values(here.infer(SAMPLES))
        assert far.precision() == "f32"
        assert wire.contents() == [2, 5, 2], "files of a model, five samples, files of the other model"
        far.load_again(sides[0], 0)
        far.load_again(sides[1], 1)
        for slot in (0, 1):
            far.feed(SAMPLES[:1], slot)
        assert far.turns((0, 1), 3).shape == (3, 2)
        assert wire.contents() == [2, 5, 2]
        far.free([sides[0].model])
        assert wire.model_files() == ["model.bin", "model.xml"]
    assert isinstance(wire.sent[-1][1], Close)
    assert wire.sent[0] == (("CPU[AVX2]", 0), Open("AVX2"))


def test_what_a_cache_gave_up_is_sent_again(tmp_path):
    wire = Wire(tmp_path)
    with far_start(wire.ask, "CPU", None)() as far:
        far.load(saved(tmp_path / "net.xml", [2] * 4))
        list(far.infer(SAMPLES))
        for path in (tmp_path / "cache").glob("[0-9a-f]*"):
            path.unlink()
        assert values(far.infer(SAMPLES)) == [0, 2, 4, 6, 8]
    assert wire.contents() == [2, 5, 5]


def test_a_cache_that_keeps_nothing_is_told(wire, tmp_path, monkeypatch):
    with far_start(wire.ask, "CPU", None)() as far:
        far.load(saved(tmp_path / "net.xml", [2] * 4))
        monkeypatch.setattr(wire.cache, "keep", lambda contents: None)
        with pytest.raises(CellError, match="cannot keep the inputs") as caught:
            list(far.infer(SAMPLES))
        assert caught.value.where == "--cache-mb"


def test_a_model_that_cannot_be_loaded_is_told_as_here(wire, tmp_path):
    with far_start(wire.ask, "CPU", None)() as far:
        with pytest.raises(CellError, match="is not there"):
            far.load(Side(tmp_path / "none.xml", "CPU", F32))
        side = saved(tmp_path / "net.xml", [2] * 4)
        with pytest.raises(CellError, match="NONE"):
            far.load(Side(side.model, "NONE", {}))
        far.load(side)  # it goes on


def test_states_go_on_along_steps(wire, tmp_path):
    steps = Steps(SAMPLES[:3], [False, True, True])
    with far_start(wire.ask, "CPU", None)() as far:
        far.load(saved(tmp_path / "net.xml", [2] * 4))
        list(far.infer(steps))
    asked = [message for _, message in wire.sent if isinstance(message, Request) and message.command == "infer"]
    assert [each.arguments["goes_on"] for each in asked] == [[False, True, True]] * 2


def test_each_process_of_a_member_has_a_channel_and_the_machine_alone_when_it_asks(wire):
    start = far_start(wire.ask, "CPU", None)
    with start(), start() as far, far.alone():
        pass
    messages = [(number, type(message)) for (_, number), message in wire.sent if not isinstance(message, Request)]
    assert messages == [(0, Open), (1, Open), (1, Take), (1, Give), (1, Close), (0, Close)]
    assert len(list(itertools.groupby(messages))) == 6
