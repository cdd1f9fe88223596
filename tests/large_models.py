"""Models of random weights as large as those of users: of many operations, and of wide images."""

import zlib

import numpy as np

from builders import model as build_model
from builders import named, parameter
from quantize_zoo.graph import with_own_names
from quantize_zoo.graph.opset import opset13 as ops


def many_convolutions(count, size=224, width=16):
    """A model of so many convolutions of 3x3 with residual additions, on images of 3 x size x size."""
    image = parameter((1, 3, size, size))
    channels = width
    node = layer(image, 3, channels, "conv0", stride=4)
    for index in range(1, count):
        halves = index in (count // 4, count // 2, 3 * count // 4)
        wider = 2 * channels if halves and channels < 4 * width else channels
        residual = index % 3 == 0 and not halves
        gain = 0.1 if residual else 1.0  # else values would double with each addition
        found = layer(node, channels, wider, f"conv{index}", stride=2 if halves else 1, gain=gain)
        node = named(ops.add(node, found), f"add{index}") if residual else found
        channels = wider
    pooled = named(ops.reduce_mean(node, np.array([2, 3])), "pool")
    weights = np.random.default_rng(0).normal(size=(10, channels)).astype(np.float32)
    return with_own_names(build_model(named(ops.matmul(pooled, ops.constant(weights), False, True), "scores"), image))


def text_detector(size, width=16):
    """A residual backbone, a feature pyramid, and a map of probabilities as wide as the image of 3 x size x size."""
    image = parameter((1, 3, size, size))
    node = layer(layer(image, 3, width, "stem", stride=2), width, width, "stem2")
    channels, features = width, []
    for stage in range(4):
        wider = width * 2 ** (stage + 1)
        for block in range(2):
            name, stride = f"stage{stage}/block{block}", 2 - block
            found = layer(node, channels, wider, f"{name}/first", stride=stride)
            found = layer(found, wider, wider, f"{name}/second", relu=False)
            skip = node if block else layer(node, channels, wider, f"{name}/skip", 1, stride, relu=False)
            node, channels = ops.relu(ops.add(found, skip)), wider
        features.append(layer(node, channels, 32, f"lateral{stage}", 1))
    merged = [features[3]]
    for stage in (2, 1, 0):
        total = ops.add(enlarged(merged[-1], size // 4 // 2**stage), features[stage])
        merged.append(layer(total, 32, 32, f"smooth{stage}"))
    node = ops.concat([enlarged(each, size // 4) for each in merged], axis=1)
    node = layer(node, 128, 32, "head1")
    node = layer(enlarged(node, size // 2), 32, 16, "head2")
    node = layer(enlarged(node, size), 16, 8, "head3")
    return with_own_names(build_model(ops.sigmoid(layer(node, 8, 1, "probability", relu=False)), image))


def layer(source, channels_in, channels_out, name, kernel=3, stride=1, *, relu=True, gain=1.0):
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    scale = gain * (2 / (channels_in * kernel**2)) ** 0.5
    weights = rng.normal(scale=scale, size=(channels_out, channels_in, kernel, kernel)).astype(np.float32)
    bias = rng.normal(scale=0.1, size=(1, channels_out, 1, 1)).astype(np.float32)
    pads = [kernel // 2] * 2
    node = named(ops.convolution(source, ops.constant(weights), [stride] * 2, pads, pads, [1, 1]), name)
    total = ops.add(node, ops.constant(bias))
    return ops.relu(total) if relu else total


def enlarged(source, size):
    sizes, axes = np.array([size, size], np.int64), np.array([2, 3], np.int64)
    options = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    return ops.interpolate(source, sizes, "nearest", "sizes", axes=axes, **options)
