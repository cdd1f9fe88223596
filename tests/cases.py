"""Small models that are easily got wrong; each stands for a whole kind of them."""

import numpy as np
import openvino as ov
from openvino import opset13 as ops
from openvino.op.util import Variable, VariableInfo

f32, f16 = np.float32, np.float16
CASES = {}


def case(build):
    def make():
        global _rng
        _rng = np.random.default_rng(0)  # whichever other cases were made before
        return build()

    CASES[build.__name__] = make
    return make


def constant(*shape, scale=0.3, kind=f32):
    return ops.constant((scale * _rng.normal(size=shape)).astype(kind))


def parameter(shape, kind=f32, name="x"):
    node = ops.parameter(shape, kind, name=name)
    node.get_output_tensor(0).set_names({name})
    return node


def model(outputs, inputs, sinks=()):
    results = [ops.result(output) for output in outputs]
    return ov.Model(results, list(sinks), inputs, "case") if sinks else ov.Model(results, inputs, "case")


def convolution(data, weights, pad=0, stride=1):
    return ops.convolution(data, weights, [stride] * 2, [pad] * 2, [pad] * 2, [1, 1])


def axes(*values):
    return np.array(values, dtype=np.int64)


# --- what other shapes fuse -----------------------------------------------------------
@case
def transposed_before_matmul():
    x = parameter([-1, 8, 8])
    return model([ops.matmul(ops.transpose(ops.relu(x), axes(0, 2, 1)), constant(8, 8), False, False)], [x])


@case
def attention_dynamic_batch():
    q, k = parameter([-1, 8, 8], name="q"), parameter([-1, 8, 8], name="k")
    return model([ops.matmul(q, ops.transpose(ops.relu(k), axes(0, 2, 1)), False, False)], [q, k])


@case
def transposed_not_square():
    x = parameter([-1, 8, 5])
    return model([ops.matmul(ops.transpose(ops.relu(x), axes(0, 2, 1)), constant(8, 4), False, False)], [x])


@case
def slice_squeeze_matmul():
    x = parameter([-1, 3, 8])
    part = ops.strided_slice(x, axes(0, 1, 0), axes(0, 2, 0), axes(1, 1, 1), [1, 0, 1], [1, 0, 1])
    return model([ops.matmul(ops.squeeze(part, axes(1)), constant(8, 4), False, False)], [x])


# --- numbers ----------------------------------------------------------------------------------------------------------
@case
def batched_weights():
    x = parameter([1, 5, 8])
    return model([ops.matmul(x, constant(2, 8, 16), False, False)], [x])


@case
def batched_weights_left():
    x = parameter([2, 8, 4])
    return model([ops.matmul(constant(2, 6, 8), x, False, False)], [x])


@case
def depthwise_bias():
    x = parameter([1, 4, 12, 12])
    weights = ops.reshape(constant(4, 1, 3, 3), axes(4, 1, 1, 3, 3), False)
    depthwise = ops.group_convolution(x, weights, [1, 1], [0, 0], [0, 0], [1, 1])
    return model([ops.add(depthwise, constant(1, 4, 1, 1))], [x])


@case
def concat_of_unequal_ranges():
    x = parameter([1, 3, 8, 8])
    wide, narrow = convolution(x, constant(4, 3, 1, 1, scale=10)), convolution(x, constant(4, 3, 1, 1, scale=0.1))
    return model([convolution(ops.concat([wide, narrow], 1), constant(4, 8, 1, 1))], [x])


@case
def multiply_of_unequal_ranges():
    x = parameter([1, 4, 8])
    large, small = (ops.matmul(x, constant(8, 8, scale=scale), False, True) for scale in (100, 0.001))
    return model([ops.matmul(ops.multiply(large, small), constant(8, 8), False, True)], [x])


# --- models natively in half precision --------------------------------------------------------------------------------
@case
def half_convolution():
    x = parameter([1, 3, 8, 8], f16)
    y = ops.relu(ops.add(convolution(x, constant(4, 3, 3, 3, kind=f16), pad=1), constant(1, 4, 1, 1, kind=f16)))
    return model([ops.add(convolution(y, constant(4, 4, 1, 1, kind=f16)), constant(1, 4, 1, 1, kind=f16))], [x])


@case
def brain_float_inside():
    x = parameter([1, 3, 8, 8])
    inside = ops.convert(x, ov.Type.bf16)
    y = convolution(inside, ops.convert(constant(4, 3, 3, 3), ov.Type.bf16), pad=1)
    return model([ops.convert(y, ov.Type.f32)], [x])


# --- shapes, states and bodies ------------------------------------------------------------------------
@case
def stateful():
    x = parameter([1, 8])
    info = VariableInfo()
    info.data_shape, info.data_type, info.variable_id = ov.PartialShape([1, 8]), ov.Type.f32, "state"
    variable = Variable(info)
    before = ops.read_value(ops.constant(np.zeros((1, 8), f32)), variable)
    after = ops.add(ops.matmul(x, constant(8, 8), False, True), before)
    return model([after], [x], [ops.assign(after, variable)])


@case
def channels_first_without_batch():
    x = parameter([3, 8, 8])
    return model([convolution(ops.unsqueeze(x, axes(0)), constant(4, 3, 3, 3), pad=1)], [x])


@case
def one_dimension():
    x = parameter([8])
    return model([ops.matmul(x, constant(8, 16), False, False)], [x])


@case
def batch_of_two_in_a_reshape():
    x = parameter([2, 8])
    return model([ops.matmul(ops.reshape(x, axes(2, 2, 4), False), constant(4, 4), False, True)], [x])


@case
def time_first():
    x = parameter([5, 2, 8])
    return model([ops.reshape(ops.matmul(x, constant(8, 8), False, True), axes(5, -1), False)], [x])


@case
def bodies_of_if():
    condition, x = parameter([], np.bool_, "condition"), parameter([1, 8])
    node = ops.if_op(condition)
    bodies = []
    for _ in range(2):
        inside = ops.parameter([1, 8], f32)
        bodies.append(ov.Model([ops.result(ops.matmul(inside, constant(8, 8), False, True))], [inside], "body"))
    node.set_then_body(bodies[0])
    node.set_else_body(bodies[1])
    node.set_input(x.output(0), bodies[0].get_parameters()[0], bodies[1].get_parameters()[0])
    return model([node.set_output(bodies[0].results[0], bodies[1].results[0])], [condition, x])


@case
def scaled_dot_product_attention():
    q, k, v = (parameter([1, 2, 4, 8], name=name) for name in "qkv")
    return model([ops.scaled_dot_product_attention(q, k, v)], [q, k, v])


@case
def embedding():
    x = parameter([1, 4], np.int64)
    return model([ops.gather(constant(10, 8), x, np.int64(0))], [x])


@case
def lstm_sequence():
    x = parameter([1, 3, 4])
    zero, length = ops.constant(np.zeros((1, 1, 5), f32)), ops.constant(np.array([3], np.int32))
    weights = constant(1, 20, 4), constant(1, 20, 5), constant(1, 20)
    node = ops.lstm_sequence(x, zero, zero, length, *weights, 5, "forward")
    return model([node.output(0)], [x])


@case
def dynamic_height_and_width():
    x = parameter([-1, 3, -1, -1])
    y = ops.relu(ops.add(convolution(x, constant(8, 3, 3, 3), pad=1), constant(1, 8, 1, 1)))
    pooled = ops.reduce_mean(convolution(y, constant(4, 8, 1, 1)), axes(2, 3), False)
    return model([pooled], [x])


@case
def dynamic_length():
    tokens = parameter([1, -1], np.int64, "tokens")
    y = ops.gather(constant(20, 16), tokens, np.int64(0))
    scores = ops.softmax(ops.matmul(y, y, False, True), -1)
    mixed = ops.matmul(ops.matmul(scores, y, False, False), constant(16, 16), False, True)
    return model([ops.reduce_mean(mixed, axes(1), False)], [tokens])


# --- names ------------------------------------------------------------------------------------------------------------
@case
def two_operations_of_one_name():
    x = parameter([1, 8])
    first = ops.matmul(x, constant(8, 8), False, True)
    second = ops.matmul(ops.relu(first), constant(8, 8), False, True)
    for node in (first, second):
        node.set_friendly_name("same")
    return model([second], [x])


@case
def tensors_without_names():
    x = ops.parameter([1, 3, 8, 8], f32)
    made = model([convolution(x, constant(4, 3, 1, 1))], [x])
    for port in (*made.inputs, *made.outputs):
        port.get_tensor().set_names(set())
    return made


@case
def two_numbers_of_double_precision():
    x = parameter([1, 3, 8, 8], np.float64)
    return model([convolution(x, constant(4, 3, 1, 1, kind=np.float64))], [x])
