"""Small models, one a kind of operation that hardware configurations name."""

import numpy as np
import openvino as ov

from builders import convolution, model, named, parameter
from quantize_zoo.graph.opset import opset13 as ops

OPERATIONS = {}


def kind(build):
    OPERATIONS[build.__name__] = build
    return build


def constant(*shape, seed=0, scale=0.3):
    return ops.constant((scale * np.random.default_rng(seed).normal(size=shape)).astype(np.float32))


def axes(*values):
    return np.array(values, dtype=np.int64)


def dense(node, outputs, inputs, name, seed=0):
    return named(ops.matmul(node, constant(outputs, inputs, seed=seed), False, True), name)


# --- recurrent ------------------------------------------------------------------------------------------------------
INPUT, HIDDEN, STEPS = 6, 5, 4


def recurrent(gates, directions=1, *, biases=None, inputs=INPUT):
    """Weights, recurrence weights and biases, whose gates have unequal ranges."""
    sizes = ((directions, gates * HIDDEN, inputs), (directions, gates * HIDDEN, HIDDEN))
    spread = np.linspace(0.1, 1, gates * HIDDEN, dtype=np.float32)[None, :, None]
    weights = [
        ops.constant(spread * np.random.default_rng(seed).normal(size=size).astype(np.float32))
        for seed, size in enumerate(sizes)
    ]
    return *weights, constant(directions, (biases or gates) * HIDDEN, seed=3)


def zeros(*shape):
    return ops.constant(np.zeros(shape, np.float32))


LENGTH = np.array([STEPS], np.int32)


def on_outputs(node, *parameters):
    """A fully connected layer on the outputs (1, directions, steps, hidden)."""
    directions = node.output(0).get_shape()[1]
    ordered = ops.transpose(node.output(0), axes(0, 2, 1, 3))
    flat = ops.reshape(ordered, axes(1, STEPS, directions * HIDDEN), False)
    return model(dense(flat, 3, directions * HIDDEN, "dense", seed=7), *parameters)


@kind
def lstm_sequence():
    x = parameter((1, STEPS, INPUT))
    node = ops.lstm_sequence(x, zeros(1, 1, HIDDEN), zeros(1, 1, HIDDEN), LENGTH, *recurrent(4), HIDDEN, "forward")
    return on_outputs(named(node, "recurrent"), x)


@kind
def lstm_sequence_both_ways():
    """Its input and its states are computed; it goes forward and backward."""
    x, hidden, cell = (
        parameter(shape, name)
        for shape, name in (((1, STEPS, INPUT), "x"), ((1, 2, HIDDEN), "hidden"), ((1, 2, HIDDEN), "cell"))
    )
    data = named(ops.tanh(x), "data")
    node = ops.lstm_sequence(data, ops.tanh(hidden), ops.tanh(cell), LENGTH, *recurrent(4, 2), HIDDEN, "BIDIRECTIONAL")
    return on_outputs(named(node, "recurrent"), x, hidden, cell)


@kind
def lstm_sequences_of_any_batch():
    """Two layers, both ways, on columns of an image, as text recognizers have them; states are made of the batch."""
    image = parameter((-1, 3, 8, STEPS), "image")
    shape = named(ops.shape_of(image), "shape")
    batch = ops.gather(shape, axes(0), np.int64(0))
    columns = named(ops.relu(convolution(image, 3, INPUT, "first", kernel=3)), "relu")
    columns = ops.squeeze(ops.reduce_max(columns, axes(2), True), axes(2))
    sequence = named(ops.transpose(columns, axes(0, 2, 1)), "sequence")
    state = named(ops.broadcast(zeros(1, 1, 1), ops.concat([batch, ops.constant(axes(2, HIDDEN))], 0)), "state")
    lengths = ops.broadcast(ops.constant(LENGTH), batch)
    for index in range(2):
        weights = recurrent(4, 2, inputs=2 * HIDDEN if index else INPUT)
        node = ops.lstm_sequence(sequence, state, state, lengths, *weights, HIDDEN, "BIDIRECTIONAL")
        ordered = ops.transpose(named(node, f"recurrent_{index}").output(0), axes(0, 2, 1, 3))
        sequence = ops.reshape(ordered, axes(0, 0, 2 * HIDDEN), True)
    return model(dense(sequence, 3, 2 * HIDDEN, "dense", seed=7), image)


@kind
def gru_sequence():
    x = parameter((1, STEPS, INPUT))
    node = ops.gru_sequence(x, zeros(1, 1, HIDDEN), LENGTH, *recurrent(3), HIDDEN, "forward")
    return on_outputs(named(node, "recurrent"), x)


@kind
def gru_sequence_linear_before_reset():
    x = parameter((1, STEPS, INPUT))
    weights = recurrent(3, biases=4)
    node = ops.gru_sequence(x, zeros(1, 1, HIDDEN), LENGTH, *weights, HIDDEN, "forward", linear_before_reset=True)
    return on_outputs(named(node, "recurrent"), x)


@kind
def rnn_sequence():
    x = parameter((1, STEPS, INPUT))
    node = ops.rnn_sequence(x, zeros(1, 1, HIDDEN), LENGTH, *recurrent(1), HIDDEN, "forward")
    return on_outputs(named(node, "recurrent"), x)


def cell(build, gates, states):
    x = parameter((1, INPUT))
    first = ops.tanh(dense(x, INPUT, INPUT, "before"))
    weights = (ops.squeeze(each, axes(0)) for each in recurrent(gates))
    node = named(build(first, *[zeros(1, HIDDEN)] * states, *weights, HIDDEN), "recurrent")
    return model(dense(node.output(0), 3, HIDDEN, "dense", seed=7), x)


@kind
def lstm_cell():
    return cell(ops.lstm_cell, 4, 2)


@kind
def gru_cell():
    return cell(ops.gru_cell, 3, 1)


@kind
def rnn_cell():
    return cell(lambda *given: ops.rnn_cell(*given, ["tanh"], [], []), 1, 1)


# --- attention ------------------------------------------------------------------------------------------------------
HEADS, TOKENS, WIDTH = 2, 6, 8


def heads(name):
    return parameter((1, HEADS, TOKENS, WIDTH), name)


@kind
def scaled_dot_product_attention():
    q, k, v = heads("q"), heads("k"), heads("v")
    return model(named(ops.scaled_dot_product_attention(q, k, v), "attention"), q, k, v)


def projected_heads(tokens):
    """Query, key and value of tokens, for each head."""
    heads_of = []
    for seed, name in enumerate(("query", "key", "value")):
        flat = dense(tokens, HEADS * WIDTH, HEADS * WIDTH, name, seed=seed)
        apart = ops.reshape(flat, axes(1, TOKENS, HEADS, WIDTH), False)
        heads_of.append(ops.transpose(apart, axes(0, 2, 1, 3)))
    return heads_of


@kind
def attention_with_projections():
    """Projections, heads, masked attention, and a projection of the joined heads."""
    tokens = parameter((1, TOKENS, HEADS * WIDTH), "tokens")
    projected = projected_heads(tokens)
    mask = ops.constant(np.triu(np.full((1, 1, TOKENS, TOKENS), -1e4, np.float32), 1))
    node = named(ops.scaled_dot_product_attention(*projected, mask), "attention")
    joined = ops.reshape(ops.transpose(node, axes(0, 2, 1, 3)), axes(1, TOKENS, HEADS * WIDTH), False)
    return model(dense(joined, HEADS * WIDTH, HEADS * WIDTH, "projection", seed=5), tokens)


@kind
def attention_of_parts():
    """Attention as exporters wrote it before there was an operation for it: a MatMul behind Softmax and Transpose."""
    tokens = parameter((1, TOKENS, HEADS * WIDTH), "tokens")
    projected = projected_heads(tokens)
    scores = named(ops.matmul(projected[0], projected[1], False, True), "scores")
    mixed = named(ops.matmul(ops.softmax(scores, -1), projected[2], False, False), "mixed")
    joined = ops.reshape(ops.transpose(mixed, axes(0, 2, 1, 3)), axes(1, TOKENS, HEADS * WIDTH), False)
    return model(dense(joined, HEADS * WIDTH, HEADS * WIDTH, "projection", seed=5), tokens)


# --- embeddings ---------------------------------------------------------------------------------------------------
def indices(*shape, name="ids"):
    node = named(ops.parameter(list(shape), np.int64), name)
    node.output(0).set_names({name})
    return node


@kind
def embedding():
    ids = indices(1, 5)
    return model(named(ops.gather(constant(20, 16), ids, np.int64(0)), "embedded"), ids)


@kind
def embedding_and_dense():
    """Two embeddings are added, as tokens and their positions are, and a fully connected layer reads the sum."""
    ids, places = indices(1, 5), indices(1, 5, name="places")
    embedded = named(ops.gather(constant(20, 16), ids, np.int64(0)), "embedded")
    placed = named(ops.gather(constant(9, 16, seed=1), places, np.int64(0)), "placed")
    return model(dense(ops.add(embedded, placed), 4, 16, "dense"), ids, places)


@kind
def embedding_of_half_precision():
    """The table is stored in half precision, and one MatMul reads the embedding."""
    ids = indices(1, 5)
    values = np.random.default_rng(0).normal(size=(20, 16)).astype(np.float16)
    embedded = named(ops.gather(ops.convert(ops.constant(values), "f32"), ids, np.int64(0)), "embedded")
    return model(dense(embedded, 4, 16, "dense"), ids)


@kind
def embedding_bag():
    ids = indices(2, 3)
    bag = named(ops.embedding_bag_packed_sum(constant(20, 16), ids), "bag")
    return model(dense(bag, 4, 16, "dense"), ids)


@kind
def token_before_data():
    """A constant vector is concatenated before the data, as the class token of a vision transformer is."""
    x = parameter((1, 5, 16))
    joined = named(ops.concat([constant(1, 1, 16, scale=1), named(ops.tanh(x), "tanh")], 1), "joined")
    return model(dense(joined, 4, 16, "dense"), x)


@kind
def tile():
    return after_convolution(lambda x: named(ops.tile(x, axes(1, 1, 2, 1)), "tiled"))


@kind
def gather_of_data():
    """Columns of data by constant indices: agnostic, and no embedding."""
    x = parameter((1, 8))
    picked = named(ops.gather(ops.tanh(x), axes(1, 3, 5, 6), np.int64(1)), "picked")
    return model(dense(picked, 3, 4, "dense"), x)


# --- normalization and arithmetic ---------------------------------------------------------------------------------
def after_convolution(build, channels=4, shape=(1, 3, 8, 8)):
    """A convolution, ReLU, what ``build`` makes of it, and a convolution on 4 channels or the channels given."""
    image = parameter(shape)
    first = named(ops.relu(convolution(image, shape[1], 4, "first", kernel=3)), "relu")
    return model(convolution(build(first), channels, 3, "last"), image)


@kind
def group_normalization():
    return after_convolution(
        lambda x: named(ops.relu(ops.group_normalization(x, constant(4), constant(4, seed=1), 2, 1e-5)), "normalized")
    )


@kind
def batch_norm():
    """Behind a ReLU, so that no convolution takes it in."""
    parts = constant(4), constant(4, seed=1), constant(4, seed=2), ops.constant(np.full(4, 0.5, np.float32))
    return after_convolution(lambda x: named(ops.batch_norm_inference(x, *parts, 1e-5), "normalized"))


@kind
def squared_difference():
    return after_convolution(lambda x: named(ops.squared_difference(x, named(ops.tanh(x), "tanh")), "difference"))


def reduced(reduce, name):
    image = parameter((1, 3, 8, 8))
    first = named(ops.relu(convolution(image, 3, 4, "first", kernel=3)), "relu")
    return model(dense(named(reduce(first, axes(2, 3), False), name), 3, 4, "dense"), image)


@kind
def reduce_sum():
    return reduced(ops.reduce_sum, "sum")


@kind
def reduce_l2():
    return reduced(ops.reduce_l2, "length")


@kind
def extremes():
    """Maximum and Minimum of two activations."""
    return after_convolution(
        lambda x: named(ops.minimum(named(ops.maximum(x, ops.tanh(x)), "maximum"), ops.exp(x)), "minimum")
    )


@kind
def clipped():
    """Maximum and Minimum with constants between two convolutions."""

    def clip(x):
        above = named(ops.maximum(ops.tanh(x), ops.constant(np.float32(0.1))), "above")
        return named(ops.minimum(above, ops.constant(np.float32(0.5))), "below")

    return after_convolution(clip)


@kind
def square_root():
    return after_convolution(lambda x: named(ops.sqrt(x), "root"))


# --- agnostic --------------------------------------------------------------------------------------------------------
@kind
def adaptive_avg_pool():
    return after_convolution(lambda x: named(ops.adaptive_avg_pool(x, axes(3, 3)), "pooled"))


@kind
def adaptive_max_pool():
    return after_convolution(lambda x: named(ops.adaptive_max_pool(x, axes(3, 3), "i32"), "pooled").output(0))


@kind
def gather_nd():
    return after_convolution(lambda x: named(ops.gather_nd(x, ops.constant(np.array([[0]])), 0), "picked"))


@kind
def gather_elements():
    picked = ops.constant(np.random.default_rng(0).integers(0, 8, (1, 4, 5, 8)))
    return after_convolution(lambda x: named(ops.gather_elements(x, picked, 2), "picked"))


@kind
def scatter_update():
    return after_convolution(
        lambda x: named(ops.scatter_update(x, axes(1, 3), constant(1, 2, 8, 8, scale=3), np.int64(1)), "scattered")
    )


@kind
def scatter_update_of_data():
    """What is written is computed as well."""

    def scattered(x):
        update = named(ops.exp(ops.gather(x, axes(0, 2), np.int64(1))), "update")
        return named(ops.scatter_update(x, axes(1, 3), update, np.int64(1)), "scattered")

    return after_convolution(scattered)


@kind
def scatter_nd_update():
    update = constant(1, 8, 8, scale=3)
    return after_convolution(
        lambda x: named(ops.scatter_nd_update(x, ops.constant(np.array([[0, 1]])), update), "scattered")
    )


@kind
def scatter_elements_update():
    index = ops.constant(np.array([1, 2, 3, 4]).reshape(1, 4, 1, 1))
    return after_convolution(
        lambda x: named(ops.scatter_elements_update(x, index, constant(1, 4, 1, 1, scale=3), np.int64(2)), "scattered")
    )


@kind
def space_to_depth():
    return after_convolution(lambda x: named(ops.space_to_depth(x, "blocks_first", 2), "deep"), 16)


@kind
def depth_to_space():
    return after_convolution(lambda x: named(ops.depth_to_space(x, "blocks_first", 2), "wide"), 1)


@kind
def space_to_batch_and_back():
    def there_and_back(x):
        split = named(ops.space_to_batch(x, axes(1, 1, 2, 2), axes(0, 0, 0, 0), axes(0, 0, 0, 0)), "split")
        inner = named(ops.relu(convolution(split, 4, 4, "dilated", kernel=3)), "inner_relu")
        return named(ops.batch_to_space(inner, axes(1, 1, 2, 2), axes(0, 0, 0, 0), axes(0, 0, 0, 0)), "joined")

    return after_convolution(there_and_back)


@kind
def slice_of_data():
    return after_convolution(lambda x: named(ops.slice(x, axes(0, 1), axes(4, 8), axes(1, 1), axes(1, 2)), "sliced"))


# --- split and concatenated ----------------------------------------------------------------------------------------
@kind
def split_before_concat():
    def split(x):
        left, right = ops.split(x, np.int64(1), 2).outputs()
        return named(ops.concat([right, named(ops.tanh(left), "tanh")], 1), "joined")

    return after_convolution(split)


@kind
def split_into_concat():
    """All parts meet again, in another order."""

    def shuffled(x):
        parts = ops.variadic_split(x, np.int64(1), axes(1, 3)).outputs()
        return named(ops.concat([parts[1], parts[0]], 1), "joined")

    return after_convolution(shuffled)


@kind
def split_and_two_layers():
    image = parameter((1, 3, 8, 8))
    first = named(ops.relu(convolution(image, 3, 4, "first", kernel=3)), "relu")
    left, right = ops.split(first, np.int64(1), 2).outputs()
    joined = ops.concat([convolution(left, 2, 2, "left"), convolution(right, 2, 2, "right_")], 1)
    return model(convolution(joined, 4, 3, "last"), image)


# --- patterns ------------------------------------------------------------------------------------------------------
@kind
def linear_with_batch_norm():
    """A fully connected layer, its batch normalization as Multiply and Add, ReLU, another layer."""
    x = parameter((1, 16))
    scaled = named(ops.multiply(dense(x, 12, 16, "first"), constant(1, 12, seed=1, scale=1)), "scaled")
    shifted = named(ops.add(scaled, constant(1, 12, seed=2)), "shifted")
    return model(dense(ops.relu(shifted), 4, 12, "second", seed=3), x)


@kind
def linear_with_batch_norm_inference():
    x = parameter((1, 16))
    parts = constant(12), constant(12, seed=1), constant(12, seed=2), ops.constant(np.full(12, 0.5, np.float32))
    normalized = named(ops.batch_norm_inference(dense(x, 12, 16, "first"), *parts, 1e-5), "normalized")
    return model(dense(ops.relu(normalized), 4, 12, "second", seed=3), x)


@kind
def linear_with_bias_and_batch_norm():
    x = parameter((1, 16))
    biased = named(ops.add(dense(x, 12, 16, "first"), constant(1, 12, seed=5)), "biased")
    scaled = named(ops.multiply(biased, constant(1, 12, seed=1, scale=1)), "scaled")
    shifted = named(ops.add(scaled, constant(1, 12, seed=2)), "shifted")
    return model(dense(ops.relu(shifted), 4, 12, "second", seed=3), x)


@kind
def linear_with_batch_norm_between_shapes():
    """As frameworks export BatchNorm1d: Unsqueeze, Multiply, Add, Squeeze."""
    x = parameter((1, 16))
    wide = ops.unsqueeze(dense(x, 12, 16, "first"), axes(2))
    scaled = named(ops.multiply(wide, constant(1, 12, 1, seed=1, scale=1)), "scaled")
    shifted = named(ops.add(scaled, constant(1, 12, 1, seed=2)), "shifted")
    return model(dense(ops.relu(ops.squeeze(shifted, axes(2))), 4, 12, "second", seed=3), x)


def excited(x, channels, squeezed, gate):
    pooled = named(ops.reduce_mean(x, axes(2, 3), True), "squeeze")
    down = ops.add(convolution(pooled, channels, squeezed, "down"), constant(1, squeezed, 1, 1, seed=1))
    up = ops.add(convolution(ops.relu(down), squeezed, channels, "up_"), constant(1, channels, 1, 1, seed=2))
    return named(ops.multiply(x, gate(up)), "scaled")


@kind
def squeeze_and_excitation():
    return after_convolution(lambda x: excited(x, 4, 2, ops.sigmoid))


@kind
def squeeze_and_excitation_hard():
    return after_convolution(lambda x: excited(x, 4, 2, ops.hsigmoid))


@kind
def equal_and_not():
    return after_convolution(
        lambda x: named(
            ops.select(ops.logical_not(named(ops.equal(x, ops.relu(x)), "equal")), x, ops.tanh(x)), "chosen"
        )
    )


@kind
def rotary_positions():
    """Positions by frequencies, of which sine and cosine are taken."""
    positions, tokens = parameter((1, 1, TOKENS), "positions"), parameter((1, TOKENS, WIDTH), "tokens")
    frequencies = ops.constant(np.array([[[1.0], [0.1], [0.01], [0.001]]], np.float32))
    angles = named(ops.matmul(frequencies, positions, False, False), "angles")
    turned = ops.transpose(angles, axes(0, 2, 1))
    both = ops.concat([turned, turned], 2)
    mixed = ops.add(ops.multiply(tokens, ops.cos(both)), ops.multiply(ops.tanh(tokens), ops.sin(both)))
    return model(dense(mixed, 4, WIDTH, "dense"), positions, tokens)


@kind
def interpolate():
    return after_convolution(
        lambda x: named(ops.interpolate(x, axes(16, 16), "linear_onnx", "sizes", axes=axes(2, 3)), "resized")
    )


@kind
def interpolate_nearest():
    return after_convolution(
        lambda x: named(ops.interpolate(x, axes(16, 16), "nearest", "sizes", axes=axes(2, 3)), "resized")
    )


def places(node, values):
    """One row of so many values for each place (1, places, values)."""
    return ops.reshape(ops.transpose(node, axes(0, 2, 3, 1)), axes(1, -1, values), False)


def decoded(offsets):
    """Boxes of pixels (1, boxes, 4) from centres and logarithms of sides."""
    grid = np.stack(np.meshgrid(range(12), range(12), indexing="ij"), -1).reshape(1, -1, 2).astype(np.float32)
    centres, sides = ops.variadic_split(offsets, np.int64(2), axes(2, 2)).outputs()
    middle = ops.multiply(ops.add(centres, ops.add(ops.multiply(centres, centres), grid)), np.float32(8))
    half = named(ops.multiply(ops.exp(sides), ops.add(ops.exp(sides), sides)), "half")
    return named(ops.concat([ops.subtract(middle, half), ops.add(middle, half)], 2), "boxes")


def detector(suppress):
    image = parameter((1, 3, 12, 12))
    features = ops.relu(convolution(image, 3, 8, "backbone"))
    raw = ops.multiply(convolution(features, 8, 6, "raw"), np.float32(0.1))
    offsets, scores = ops.variadic_split(places(raw, 6), np.int64(2), axes(4, 2)).outputs()
    boxes, chances = decoded(offsets), ops.sigmoid(scores)
    return ov.Model([ops.result(each) for each in suppress(boxes, ops.transpose(chances, axes(0, 2, 1)))], [image])


@kind
def detector_with_suppression():
    def suppress(boxes, chances):
        kept = ops.non_max_suppression(boxes, chances, np.int64(5), np.float32(0.5), np.float32(0.1)).output(0)
        chosen = ops.squeeze(ops.gather(kept, axes(2), np.int64(1)), axes(1))
        picked = ops.gather(boxes, chosen, np.int64(1))
        return [ops.multiply(picked, ops.add(picked, picked))]

    return detector(suppress)


@kind
def detector_with_top_k():
    def suppress(boxes, chances):
        best = ops.topk(ops.squeeze(ops.gather(chances, axes(1), np.int64(1)), axes(1)), np.int64(5), 1, "max", "value")
        return [ops.gather(boxes, ops.squeeze(best.output(1), axes(0)), np.int64(1)), best.output(0)]

    return detector(suppress)


@kind
def selected_features():
    """What is selected goes through weights again: what is selected by is left alone, and the rest is quantized."""
    image = parameter((1, 3, 12, 12))
    rows = places(ops.relu(convolution(image, 3, 8, "backbone")), 8)
    score = named(ops.matmul(rows, constant(8, 1), False, False), "score")
    squared = named(ops.multiply(score, score), "squared")
    total = named(ops.add(score, squared), "total")
    best = ops.topk(ops.squeeze(total, axes(2)), np.int64(5), 1, "max", "value").output(1)
    picked = ops.gather(rows, ops.squeeze(best, axes(0)), np.int64(1))
    added = named(ops.add(picked, ops.multiply(picked, picked)), "added")
    return ov.Model([ops.result(named(ops.matmul(added, constant(8, 3), False, False), "last"))], [image])


def operation_samples(net, count=20):
    """Inputs of a model; integers are indices below 9."""
    rng, found = np.random.default_rng(1), []
    for _ in range(count):
        sample = {}
        for port in net.inputs:
            shape = [1 if size.is_dynamic else size.get_length() for size in port.get_partial_shape()]
            whole = port.get_element_type() == ov.Type.i64
            sample[port.get_any_name()] = (
                rng.integers(0, 9, shape) if whole else rng.normal(size=shape).astype(np.float32)
            )
        found.append(sample)
    return found
