"""Train the classifier of small matrices, which compiles in hundredths of a second (extra ``train``).

``PYTHONPATH=model_zoo_configs/embedded python tests/small_model.py`` makes ``tests/data/digits-small.onnx`` anew, from
the embedded zoo's training digits.
"""

from pathlib import Path

from torch import nn

import networks
from train import Recipe, classification_loss, digit_examples, make

PATH = Path(__file__).parent / "data" / "digits-small.onnx"


def digits_small():
    """Of each kind of the zoo's classifiers: strided, depthwise and pointwise convolutions, and a residual block."""
    return nn.Sequential(
        networks.conv_bn(3, 16, 3, 2), nn.ReLU(),
        networks.conv_bn(16, 16, 3, groups=16), nn.ReLU(),
        networks.Residual(16, 32, 2),
        networks.conv_bn(32, 32, 3, 2), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, networks.CLASSES), nn.Softmax(1),
    )  # fmt: skip


if __name__ == "__main__":
    make(Recipe(digits_small, digit_examples(1), classification_loss, 60, ("image",), ("probabilities",)), PATH)
