"""Estimates, devices, latency in turns, and what a model ran in."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from builders import compression, convolution, model, parameter, pipeline, residual_model
from operation_zoo import OPERATIONS, operation_samples
from quantize_zoo.config import BenchmarkParams, DeviceSpec
from quantize_zoo.errors import CellError, DeviceUnavailableError
from quantize_zoo.gate.bench import Bench
from quantize_zoo.graph.opset import opset13 as ops
from quantize_zoo.scoring import (
    SharedReference,
    compile_again,
    compile_for_accuracy,
    compile_for_latency,
    compile_from,
    describe_environment,
    describe_execution,
    hardware_target,
    location_estimate,
    mean_estimate,
    measure_in_turns,
    paired_loss,
    require_device,
)
from quantize_zoo.scoring.estimate import two_stage_estimate
from quantize_zoo.scoring.latency import TARGET_HALF_WIDTH

CPU_F32 = DeviceSpec(device="CPU", inference_precision="f32")
SHORT = BenchmarkParams(duration_seconds=0.2)
SAMPLE = {"image": np.ones((1, 3, 8, 8), np.float32)}


@pytest.mark.parametrize("count", [12, 48, 120])
@pytest.mark.parametrize("draw", ["normal", "laplace"])
def test_interval_covers_the_center_as_often_as_it_says(count, draw):
    rng = np.random.default_rng(0)
    runs = 1500
    hits = 0
    for _ in range(runs):
        found = location_estimate(getattr(rng, draw)(size=count), "us")
        hits += found.low <= 0 <= found.high
    # 95 %; the margin is four standard errors of the simulation.
    assert hits / runs == pytest.approx(0.95, abs=4 * np.sqrt(0.05 * 0.95 / runs))


def test_location_equals_a_direct_computation():
    values = np.random.default_rng(1).normal(size=40)
    pairs = [(values[i] + values[j]) / 2 for i in range(40) for j in range(i, 40)]
    found = location_estimate(values, "us")
    assert found.value == pytest.approx(np.median(pairs))
    # The interval inverts Wilcoxon's test: shifted to its border, the test is at its level.
    assert stats.wilcoxon(values - found.low, method="approx").pvalue == pytest.approx(0.05, abs=0.01)


def test_wild_observations_hardly_move_the_location():
    values = np.r_[np.random.default_rng(0).normal(1.0, 0.01, 90), np.full(10, 50.0)]
    assert location_estimate(values, "us").value == pytest.approx(1.0, abs=0.01)


def test_few_values_have_no_interval():
    found = location_estimate(np.array([1.0, 2.0, 3.0]), "us")
    assert (found.value, found.low, found.high) == (2.0, None, None)
    assert found.half_width == float("inf")


@pytest.mark.parametrize(("fp32", "int8"), [(0.97, 0.95), (0.9, 0.9), (0.99, 0.8)])
def test_interval_of_a_paired_loss_covers_the_true_one(fp32, int8):
    """Right and wrong answers of two models that mostly agree."""
    rng = np.random.default_rng(0)
    runs, count, hits = 400, 300, 0
    for _ in range(runs):
        right = rng.random(count) < fp32
        other = np.where(rng.random(count) < 0.9, right, rng.random(count) < fp32)
        other = np.where(rng.random(count) < int8 / fp32, other, False)
        first, second = right.astype(float), other.astype(float)
        found = paired_loss(first.mean(), second.mean(), first, second)
        truth = (fp32 - fp32 * min(1, int8 / fp32)) / first.mean()
        hits += found.low <= truth <= found.high
    assert hits / runs >= 0.95 - 4 * np.sqrt(0.05 * 0.95 / runs)


def test_paired_loss_of_equal_answers_still_has_an_interval():
    answers = np.r_[np.ones(290), np.zeros(10)]
    found = paired_loss(answers.mean(), answers.mean(), answers, answers)
    assert found.value == 0
    assert found.low < 0 < found.high < 0.02


def test_paired_loss_of_a_continuous_metric_has_the_interval_of_a_mean():
    rng = np.random.default_rng(0)
    first = rng.normal(30, 5, 400)
    second = first - rng.normal(0.3, 0.5, 400)
    found = paired_loss(first.mean(), second.mean(), first, second)
    half = 1.96 * 0.5 / np.sqrt(400) / first.mean()
    assert (found.low, found.high) == pytest.approx((found.value - half, found.value + half), abs=3e-4)
    assert paired_loss(first.mean(), 3.0, first, second).low is None


def test_no_loss_is_told_that_values_within_0_and_1_cannot_have():
    answers, none = np.r_[0.0, np.ones(5)], np.zeros(6)
    found = paired_loss(answers.mean(), 0.0, answers, none)
    assert found.low < found.value == found.high == 1.0
    error, most = np.full(6, 0.5), np.r_[0.6, np.ones(5)]
    found = paired_loss(0.5, most.mean(), error, most, higher_is_better=False)
    assert found.low < found.value < found.high == 1.0
    assert paired_loss(50.0, 0.0, 100 * error, none - 1e-9).high != 1.0, "of other values nothing is known"


def test_accuracy_has_wilsons_interval():
    per_sample = np.r_[np.ones(975), np.zeros(25)]
    found = mean_estimate(0.975, per_sample)
    expected = stats.binomtest(975, 1000).proportion_ci(0.95, method="wilson")
    assert (found.low, found.high, found.samples) == (expected.low, expected.high, 1000)


RARE = "one in 100 is not zero"


@pytest.mark.parametrize(("kind", "count"), [("normal", 30), ("exponential", 100), ("lognormal", 1000), (RARE, 1000)])
def test_interval_of_a_continuous_metric_covers_its_mean(kind, count):
    rng = np.random.default_rng(0)
    draw, mean = {
        "normal": (lambda: rng.normal(size=count), 0.0),
        "exponential": (lambda: rng.exponential(size=count), 1.0),
        "lognormal": (lambda: rng.lognormal(size=count), np.exp(0.5)),
        RARE: (lambda: rng.exponential(size=count) * (rng.random(count) < 0.01), 0.01),
    }[kind]
    found = [mean_estimate(float(values.mean()), values) for values in (draw() for _ in range(2000))]
    assert sum(each.low <= mean <= each.high for each in found) / len(found) == pytest.approx(0.95, abs=0.02)


def test_continuous_metric_has_students_interval_where_nothing_is_skewed():
    per_sample = np.random.default_rng(0).normal(30, 2, 400)
    found = mean_estimate(float(per_sample.mean()), per_sample)
    standard_error = 2 / np.sqrt(400)
    assert found.low == pytest.approx(found.value - 1.96 * standard_error, abs=0.05)
    assert found.high == pytest.approx(found.value + 1.96 * standard_error, abs=0.05)


def test_metric_that_is_not_the_mean_of_its_samples_has_no_interval():
    assert mean_estimate(0.5, np.array([1.0, 1.0, 1.0])).low is None
    assert mean_estimate(0.5, None).low is None


def test_constant_metric_has_a_degenerate_interval():
    found = mean_estimate(3.5, np.full(10, 3.5))
    assert (found.low, found.high) == (3.5, 3.5)


@pytest.mark.parametrize(
    ("device", "target"),
    [("CPU", "CPU"), ("GPU.1", "GPU"), ("AUTO:GPU,CPU", "GPU"), ("HETERO:CPU", "CPU"), ("AUTO", "CPU")],
)
def test_hardware_configuration_of_a_device(device, target):
    assert hardware_target(device) == target


@pytest.mark.parametrize("device", ["CPU", "AUTO", "AUTO:CPU", "HETERO:CPU"])
def test_device_that_openvino_has(device):
    require_device(DeviceSpec(device=device))


@pytest.mark.parametrize("device", ["TPU", "AUTO:TPU", "HETERO:CPU,TPU"])
def test_missing_device_is_told_with_openvinos_list(device):
    with pytest.raises(DeviceUnavailableError, match=r"no device TPU here; its devices: .*CPU"):
        require_device(DeviceSpec(device=device))


def test_environment_names_the_instruction_set_limit():
    environment = describe_environment()
    assert environment.isa_limit == "AVX2"
    assert environment.cores >= 1
    assert environment.openvino.startswith("20")


def test_execution_tells_precision_and_kernels():
    execution = describe_execution(compile_for_latency(residual_model(), CPU_F32, SHORT))
    assert execution.inference_precision == "f32"
    # The limit of the instruction set is oneDNN's; OpenVINO's own kernels may use more.
    assert "avx2" in execution.kernels


def test_device_that_refuses_a_model_is_told():
    with pytest.raises(CellError, match="compiling for TPU failed"):
        compile_for_accuracy(residual_model(), DeviceSpec(device="TPU"))


def heavy_model():
    image = parameter()
    node = convolution(image, 3, 64, "a", kernel=3)
    for name in ("bb", "ccc", "dddd"):
        node = ops.relu(convolution(node, 64, 64, name, kernel=3))
    return model(node, image)


def again(net, benchmark):
    """What compiles a model for latency again and again, as a trial does."""
    return compile_again(compile_for_latency(net, CPU_F32, benchmark), net, CPU_F32, benchmark)


def in_turns(reference, candidate, benchmark, sample=SAMPLE):
    """A trial's latency where no trial was before."""
    return measure_in_turns(SharedReference(reference, 1), candidate, [sample], benchmark)


@pytest.mark.parametrize("api_type", ["sync", "async"])
def test_ratio_above_one_means_that_the_candidate_is_faster(api_type):
    benchmark = BenchmarkParams(duration_seconds=0.2, api_type=api_type)
    slow, fast = (again(net, benchmark) for net in (heavy_model(), residual_model()))
    # On a busy machine the interval of four compilations may be wide, and one of three ratios be anything.
    found = sorted((in_turns(slow, fast, benchmark) for _ in range(3)), key=lambda each: each.ratio.value)[1]
    assert found.ratio.value > 1
    assert found.ratio.low < found.ratio.value < found.ratio.high
    assert found.reference_us.value > found.candidate_us.value
    assert np.median([in_turns(fast, slow, benchmark).ratio.value for _ in range(3)]) < 1


def test_model_against_itself_is_neither_faster_nor_slower():
    benchmark = BenchmarkParams(duration_seconds=1)
    one, other = (again(heavy_model(), benchmark) for _ in range(2))
    logs = np.log([in_turns(one, other, benchmark).ratio.value for _ in range(6)])
    # Beside what is told at best, what the six differ by: a busy machine makes that more.
    assert abs(logs.mean()) <= TARGET_HALF_WIDTH + 4 * stats.sem(logs), logs


class Counted:
    """Compiles a model anew as often as it is asked to, and counts that."""

    def __init__(self, net):
        self._make, self.count = again(net, SHORT), 0

    def __call__(self):
        self.count += 1
        return self._make()


def slow_model():
    """An inference takes milliseconds, of which compilations differ by little."""
    image = parameter()
    node = convolution(image, 3, 512, "a", kernel=3)
    return model(convolution(node, 512, 512, "bb", kernel=3), image)


def measured_twice(net, weights_bytes):
    """How often a first trial compiles FP32 and a second one, and beside how many compilations that measured."""
    reference, candidate = Counted(net), again(net, SHORT)
    shared = SharedReference(reference, weights_bytes)
    measure_in_turns(shared, candidate, [SAMPLE], SHORT)
    first = reference.count
    found = measure_in_turns(shared, candidate, [SAMPLE], SHORT)
    return first, reference.count - first, len(found.compilations)


def test_next_trial_measures_beside_the_same_compilations_of_a_model_that_memory_does_not_move():
    first, second, measured = measured_twice(slow_model(), 1_000_000)
    assert first >= 4
    assert measured >= 4
    assert second == measured - 4


def test_nothing_is_kept_of_a_model_with_large_weights():
    first, second, _ = measured_twice(slow_model(), 100_000_000)
    assert min(first, second) >= 4


def test_each_trial_compiles_a_small_model_anew():
    first, second, _ = measured_twice(residual_model(), 1_000)
    assert min(first, second) >= 4


def test_each_compilation_of_a_model_is_another_one_and_executes_the_same():
    first = compile_for_latency(residual_model(), CPU_F32, SHORT)
    make = compile_again(first, residual_model(), CPU_F32, SHORT)
    compiled = [make() for _ in range(4)]
    assert compiled[0] is first
    assert len({id(each) for each in compiled}) == 4
    outputs = [each({"image": SAMPLE["image"]})[0] for each in compiled]
    for each, output in zip(compiled[1:], outputs[1:], strict=True):
        assert describe_execution(each) == describe_execution(first)
        assert each.get_property("INFERENCE_NUM_THREADS") == first.get_property("INFERENCE_NUM_THREADS") == 1
        assert np.array_equal(output, outputs[0])


def test_latency_is_that_of_what_was_compiled_for_accuracy_and_is_compiled_no_second_time(monkeypatch):
    net = heavy_model()
    expected, accurate = compile_for_latency(net, CPU_F32, SHORT), compile_for_accuracy(net, CPU_F32)
    monkeypatch.setattr("quantize_zoo.scoring.compilation._compile", lambda *_: pytest.fail("compiled again"))
    make = compile_from(accurate, net, CPU_F32, SHORT)
    found = [make() for _ in range(4)]
    assert len({id(each) for each in found}) == 4
    for each in found:
        assert describe_execution(each) == describe_execution(expected)
        for name in ("INFERENCE_NUM_THREADS", "NUM_STREAMS"):
            assert each.get_property(name) == expected.get_property(name) == 1
        assert np.array_equal(each({"image": SAMPLE["image"]})[0], expected({"image": SAMPLE["image"]})[0])


def test_model_that_the_plugin_cannot_export_is_compiled_anew(monkeypatch):
    first = compile_for_latency(residual_model(), CPU_F32, SHORT)

    class NotExported:
        """A compiled model without export."""

        def export_model(self):
            raise RuntimeError("not implemented")

    monkeypatch.setattr("quantize_zoo.scoring.compilation.core", None)  # nothing is read back
    make = compile_again(NotExported(), residual_model(), CPU_F32, SHORT)
    monkeypatch.undo()
    make()
    assert describe_execution(make()) == describe_execution(first)


def test_what_is_read_back_for_the_times_of_layers_tells_them(monkeypatch):
    net = residual_model()
    profiled = compile_for_latency(net, CPU_F32, SHORT, profiled=True)
    monkeypatch.setattr("quantize_zoo.scoring.compilation._compile", lambda *_: pytest.fail("compiled again"))
    request = compile_from(profiled, net, CPU_F32, SHORT, profiled=True)().create_infer_request()
    request.infer({"image": SAMPLE["image"]})
    names = {each.node_name for each in request.profiling_info if each.real_time.total_seconds() > 0}
    assert names <= {each.get_friendly_name() for each in profiled.get_runtime_model().get_ops()}
    assert names


@pytest.mark.parametrize("kind", ["lstm_sequence", "gru_sequence"])
def test_a_quantized_sequence_that_the_plugin_cannot_read_back_is_compiled_anew(kind):
    net = OPERATIONS[kind]()
    built = pipeline(net, operation_samples(net), compression())
    candidate = built.build(built.base)
    accurate = compile_for_accuracy(candidate, CPU_F32)
    make = compile_from(accurate, candidate, CPU_F32, SHORT, describe_execution(accurate))
    first, second = make(), make()
    assert describe_execution(accurate).precisions["i8"]
    assert describe_execution(first) == describe_execution(second) == describe_execution(accurate)


@pytest.mark.parametrize("spread", [0.001, 0.02])
def test_interval_of_two_stages_covers_the_mean_as_often_as_it_says(spread):
    """Also where the first observations decided how many more were made."""
    rng = np.random.default_rng(0)
    hits, runs = 0, 4000
    for _ in range(runs):
        first = rng.normal(0, spread, 5)
        half = two_stage_estimate(first, 5, "x").high - first.mean()
        wanted = int(np.clip(np.ceil(5 * (half / 0.02) ** 2), 5, 40))
        found = two_stage_estimate(np.r_[first, rng.normal(0, spread, wanted - 5)], 5, "x")
        hits += found.low <= 0 <= found.high
        assert found.samples == wanted
    assert hits / runs == pytest.approx(0.95, abs=0.012)


def bench_of(batch, shape):
    """A bench with one sample of one input, which has this shape in the model."""
    inputs = SimpleNamespace(inputs=lambda _=None: [{"image": np.ones((1, 3, 8, 8), np.float32), "size": np.array(3)}])
    benchmark = BenchmarkParams(batch_size=batch)
    batched = frozenset(["image"] if shape.startswith("[?") else [])
    return Bench(
        accuracy=inputs, device=DeviceSpec(device="CPU"), benchmark=benchmark, metric="metric", dataset="",
        inputs={"image": shape, "size": "[]"}, batched=batched, measures_latency=True,
    )  # fmt: skip


def test_batch_of_the_benchmark_is_measured_where_the_model_takes_it():
    (sample,) = bench_of(4, "[?,3,8,8]").timed_samples()
    assert sample["image"].shape == (4, 3, 8, 8)
    assert sample["size"].shape == ()
    assert bench_of(1, "[1,3,8,8]").timed_samples()[0]["image"].shape == (1, 3, 8, 8)


def test_batch_that_the_model_does_not_take_is_told():
    with pytest.raises(CellError, match=r"batch_size is 4, and the model's shapes are fixed \(image \[1,3,8,8\]"):
        bench_of(4, "[1,3,8,8]").timed_samples()


def test_wrong_input_is_told_not_raised_raw():
    make = again(residual_model(), SHORT)
    with pytest.raises(CellError, match="measuring latency failed"):
        in_turns(make, make, SHORT, {"image": np.ones((1, 3, 9, 9), np.float32)})
