"""A zoo of small models built in code: the structures that the graph layer must take."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import openvino as ov

from builders import convolution, model, named, parameter, residual_model
from quantize_zoo.graph.opset import opset13 as ops


def constant(*shape, seed=0, dtype=np.float32):
    return ops.constant(np.random.default_rng(seed).normal(size=shape).astype(dtype))


def biased(node, channels, name):
    return named(ops.add(node, constant(1, channels, 1, 1, seed=7)), name)


def shared_weights():
    """Two convolutions with one constant as weights."""
    image, weights = parameter(), constant(3, 3, 3, 3)
    pads = [1, 1]
    first = named(ops.convolution(image, weights, [1, 1], pads, pads, [1, 1]), "first")
    second = named(ops.convolution(ops.relu(first), weights, [1, 1], pads, pads, [1, 1]), "second")
    return model(second, image)


def several_outputs():
    image = parameter()
    trunk = named(ops.relu(convolution(image, 3, 4, "trunk")), "trunk_relu")
    heads = [ops.result(convolution(trunk, 4, 2, name)) for name in ("head_a", "head_bb")]
    return ov.Model([*heads, ops.result(trunk)], [image], "several_outputs")


def concat_tree():
    image = parameter()
    branches = [named(ops.relu(convolution(image, 3, 4, f"b{'x' * i}")), f"relu{i}") for i in range(4)]
    left, right = (named(ops.concat(branches[i : i + 2], axis=1), f"concat{i}") for i in (0, 2))
    joined = named(ops.concat([left, right], axis=1), "joined")
    pooled = ops.max_pool(joined, [2, 2], [1, 1], [0, 0], [0, 0], [2, 2]).output(0)
    return model(convolution(pooled, 16, 4, "last"), image)


def residual_chain():
    image = parameter((1, 4, 8, 8))
    total = image
    for index in range(3):
        branch = named(ops.relu(convolution(total, 4, 4, f"conv{'x' * index}", kernel=3)), f"relu{index}")
        total = named(ops.add(total, branch), f"add{index}")
    return model(total, image)


def attention():
    """One head: three projections, MatMul of two activations, Softmax, MatMul, projection."""
    tokens = parameter((1, 6, 16), name="tokens")
    query, key, value = (
        named(ops.matmul(tokens, constant(16, 16, seed=seed), False, True), name)
        for seed, name in enumerate(("query", "key", "value"))
    )
    scores = named(ops.matmul(query, key, False, True), "scores")
    scaled = named(ops.multiply(scores, ops.constant(np.float32(0.25))), "scaled")
    mixed = named(ops.matmul(ops.softmax(scaled, -1), value, False, False), "mixed")
    return model(named(ops.matmul(mixed, constant(16, 16, seed=5), False, True), "projection"), tokens)


def layer_norm():
    """Layer normalization from its parts, as exporters write it, between two fully connected layers."""
    tokens = parameter((1, 6, 16), name="tokens")
    axis = np.array([2])
    inner = named(ops.matmul(tokens, constant(16, 16), False, True), "inner")
    mean = named(ops.reduce_mean(inner, axis, keep_dims=True), "mean")
    centered = named(ops.subtract(inner, mean), "centered")
    variance = named(
        ops.reduce_mean(ops.power(centered, ops.constant(np.float32(2))), axis, keep_dims=True), "variance"
    )
    deviation = named(ops.sqrt(ops.add(variance, ops.constant(np.float32(1e-5)))), "deviation")
    normalized = named(ops.divide(centered, deviation), "normalized")
    scaled = ops.add(ops.multiply(normalized, constant(16)), constant(16, seed=1))
    return model(named(ops.matmul(scaled, constant(8, 16, seed=2), False, True), "outer"), tokens)


def grouped_and_depthwise():
    image = parameter((1, 4, 8, 8))
    pads = [1, 1]
    depthwise = ops.group_convolution(image, constant(4, 1, 1, 3, 3), [1, 1], pads, pads, [1, 1])
    depthwise = biased(named(depthwise, "depthwise"), 4, "depthwise_bias")
    grouped = ops.group_convolution(ops.relu(depthwise), constant(2, 3, 2, 3, 3), [1, 1], pads, pads, [1, 1])
    return model(named(grouped, "grouped"), image)


def transposed_convolution():
    image = parameter((1, 4, 8, 8))
    backward = ops.convolution_backprop_data(image, constant(4, 6, 2, 2), [2, 2], name="up")
    return model(convolution(ops.relu(backward), 6, 3, "conv"), image)


def loop():
    """A TensorIterator between two convolutions: the operations of its body stay as they are."""
    image = parameter((1, 4, 5, 5))
    first = named(ops.relu(convolution(image, 4, 4, "first")), "relu")
    piece = ops.parameter([1, 1, 5, 5], np.float32, "piece")
    weights = constant(1, 1, 1, 1)
    body_result = ops.convolution(piece, weights, [1, 1], [0, 0], [0, 0], [1, 1])
    iterator = named(ops.tensor_iterator(), "iterator")
    iterator.set_body(ov.Model([body_result], [piece], "body"))
    iterator.set_sliced_input(piece, first.output(0), 0, 1, 1, -1, 1)
    out = iterator.get_concatenated_slices(body_result.output(0), 0, 1, 1, -1, 1)
    return model(convolution(out, 4, 3, "last"), image)


def branches():
    """An If on a boolean input after a convolution."""
    image, flag = parameter((1, 3, 4, 4)), named(ops.parameter([1], np.bool_), "flag")
    flag.output(0).set_names({"flag"})
    first = convolution(image, 3, 4, "first")
    bodies = []
    for _ in range(2):
        inside = ops.parameter([1, 4, 4, 4], np.float32)
        bodies.append((ov.Model([ops.result(convolution(inside, 4, 4, "inside"))], [inside], "body"), inside))
    choose = named(ops.if_op(flag), "choose")
    choose.set_then_body(bodies[0][0])
    choose.set_else_body(bodies[1][0])
    choose.set_input(first.output(0), bodies[0][1], bodies[1][1])
    out = choose.set_output(bodies[0][0].get_results()[0], bodies[1][0].get_results()[0])
    return model(convolution(out, 4, 3, "last"), image, flag)


def integer_input():
    """An embedding: Gather on integers, then a fully connected layer."""
    ids = named(ops.parameter([1, 5], np.int64), "ids")
    ids.output(0).set_names({"ids"})
    embedded = named(ops.gather(constant(20, 16), ids, np.int64(0)), "embedded")
    return model(named(ops.matmul(embedded, constant(4, 16, seed=1), False, True), "dense"), ids)


def string_input():
    """A convolution, and beside it a text that goes straight through."""
    image, text = parameter(), named(ops.parameter([1], ov.Type.string), "text")
    text.output(0).set_names({"text"})
    return ov.Model([ops.result(convolution(image, 3, 4, "conv")), ops.result(text)], [image, text], "string_input")


def compressed():
    """Weights in float16 behind Convert, and weights behind Reshape and Transpose."""
    image = parameter()
    first = named(ops.relu(convolution(image, 3, 4, "first", dtype=np.float16)), "relu")
    weights = ops.transpose(ops.reshape(constant(4, 2, 9), np.array([4, 2, 3, 3]), False), np.array([1, 0, 2, 3]))
    second = named(ops.convolution(first, weights, [1, 1], [1, 1], [1, 1], [1, 1]), "second")
    return model(second, image)


def two_activations():
    """Multiplication of two activations, as in gating, and elementwise operations with constants."""
    image = parameter()
    value, gate = convolution(image, 3, 4, "value"), ops.sigmoid(convolution(image, 3, 4, "gate_conv"))
    gated = named(ops.multiply(value, gate), "gated")
    shifted = named(ops.subtract(gated, ops.constant(np.float32(0.5))), "shifted")
    return model(convolution(shifted, 4, 3, "last"), image)


def split_and_join():
    image = parameter((1, 4, 8, 8))
    first = named(ops.relu(convolution(image, 4, 8, "first")), "relu")
    halves = ops.split(first, np.int64(1), 2)
    joined = named(ops.concat([convolution(halves.output(0), 4, 4, "left"), halves.output(1)], axis=1), "joined")
    return model(convolution(joined, 8, 3, "last"), image)


ZOO = {
    function.__name__: function
    for function in (
        residual_model, shared_weights, several_outputs, concat_tree, residual_chain, attention, layer_norm,
        grouped_and_depthwise, transposed_convolution, loop, branches, integer_input, string_input, compressed,
        two_activations, split_and_join,
    )
}  # fmt: skip


def with_tensor_names(net):
    """NNCF asks every tensor for a name."""
    for node in net.get_ordered_ops():
        for output in node.outputs():
            if not output.get_names():
                output.set_names({f"{node.get_friendly_name()}.{output.get_index()}"})
    return net


def random_samples(net, count=8):
    """Inputs of a model; integers count up from zero, booleans are true and false in turns."""
    rng = np.random.default_rng(0)
    samples = []
    for index in range(count):
        sample = {}
        for port in net.inputs:
            kind, shape = (
                port.get_element_type(),
                [1 if d.is_dynamic else d.get_length() for d in port.get_partial_shape()],
            )
            values = rng.normal(size=shape).astype(np.float32)
            if kind == ov.Type.boolean:
                values = np.full(shape, index % 2 == 0)
            elif kind == ov.Type.string:
                values = np.full(shape, "text")
            elif kind == ov.Type.i64:
                values = np.arange(np.prod(shape)).reshape(shape)
            sample[port.get_any_name()] = values
        samples.append(sample)
    return samples


def with_all_instructions(module, function):
    """Call a function of a module of unit tests in a process that is not held to AVX2, as tests are (conftest.py)."""
    environment = {key: value for key, value in os.environ.items() if key != "ONEDNN_MAX_CPU_ISA"}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    command = [sys.executable, "-c", f"import {module}; {module}.{function}()"]
    ended = subprocess.run(
        command, env=environment, cwd=Path(__file__).parent / "unit", capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
