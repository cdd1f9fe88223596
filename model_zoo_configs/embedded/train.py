"""Train the embedded zoo and export it as ONNX (extra ``train``: torch for CPU, scikit-learn, onnx).

Run it as ``python train.py [NAME ...]``. Training images are drawn afresh from the training digits in every epoch;
the committed validation images are never seen. Some minutes a model on two cores.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from make_data import FOLDER, SEED, distort, split_digits

HERE = Path(__file__).parent
INPUT_SIZE = 48
EPOCHS = 60


def conv_bn(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution without bias, then batch normalization."""
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs))


class Residual(nn.Module):
    """ResNet's basic block."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = conv_bn(inputs, outputs, 3, stride)
        self.second = conv_bn(outputs, outputs, 3)
        same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if same else conv_bn(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        branch = self.second(torch.relu(self.first(x)))
        return torch.relu(branch + self.shortcut(x))


class InvertedResidual(nn.Module):
    """MobileNetV2's block: expand, depthwise, linear projection."""

    def __init__(self, inputs: int, outputs: int, stride: int, expand: int) -> None:
        super().__init__()
        hidden = inputs * expand
        layers: list[nn.Module] = [conv_bn(inputs, hidden, 1), nn.ReLU6()] if expand != 1 else []
        layers += [conv_bn(hidden, hidden, 3, stride, hidden), nn.ReLU6(), conv_bn(hidden, outputs, 1)]
        self.branch = nn.Sequential(*layers)
        self.residual = inputs == outputs and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        return x + self.branch(x) if self.residual else self.branch(x)


def digits_resnet() -> nn.Module:
    """ResNet-like: three stages of 3x3 convolutions."""
    return nn.Sequential(
        conv_bn(3, 16, 3),
        nn.ReLU(),
        Residual(16, 16, 1),
        Residual(16, 32, 2),
        Residual(32, 32, 1),
        Residual(32, 56, 2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(56, 10),
        nn.Softmax(dim=1),
    )


def digits_mobilenet() -> nn.Module:
    """MobileNetV2-like: inverted residuals with ReLU6."""
    blocks = [(24, 16, 1, 1), (16, 24, 2, 6), (24, 24, 1, 6), (24, 40, 2, 6), (40, 40, 1, 6), (40, 64, 2, 6)]
    return nn.Sequential(
        conv_bn(3, 24, 3, 2),
        nn.ReLU6(),
        *(InvertedResidual(*block) for block in blocks),
        conv_bn(64, 192, 1),
        nn.ReLU6(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(192, 10),
        nn.Softmax(dim=1),
    )


ZOO: dict[str, Callable[[], nn.Module]] = {"digits-resnet": digits_resnet, "digits-mobilenet": digits_mobilenet}


def to_input(images: np.ndarray) -> Tensor:
    """(N, 32, 32) uint8 to (N, 3, INPUT_SIZE, INPUT_SIZE), as the zoo's accuracy checker configuration does it."""
    pixels = torch.from_numpy(images).float().unsqueeze(1)
    pixels = nn.functional.interpolate(pixels, INPUT_SIZE, mode="bilinear", align_corners=False)
    return ((pixels - 127.5) / 63.75).expand(-1, 3, -1, -1).contiguous()


def load_validation() -> tuple[Tensor, Tensor]:
    """The committed validation images as the model takes them, and their labels."""
    lines = FOLDER.with_suffix(".txt").read_text(encoding="ascii").split("\n")[:-1]
    names, labels = zip(*(line.split() for line in lines), strict=True)
    images = np.stack([np.asarray(Image.open(FOLDER / name)) for name in names])
    return to_input(images), torch.tensor([int(label) for label in labels])


def accuracy(model: nn.Module) -> float:
    """Top-1 accuracy on the validation images."""
    images, labels = load_validation()
    with torch.no_grad():
        return float((model.eval()(images).argmax(1) == labels).float().mean())


def train(model: nn.Module) -> None:
    """Train in place: AdamW, one cycle of the learning rate, no weight decay."""
    images, _, labels, _ = split_digits()
    targets = torch.from_numpy(labels)
    rng = np.random.default_rng(SEED)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.0)
    batch = 64
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 6e-3, epochs=EPOCHS, steps_per_epoch=-(-len(images) // batch)
    )
    for _ in range(EPOCHS):
        model.train()
        inputs = to_input(np.stack([distort(image, rng) for image in images]))
        for chosen in torch.from_numpy(rng.permutation(len(images))).split(batch):
            # The last layer is the softmax that the deployed model ends with.
            loss = nn.functional.nll_loss(torch.log(model(inputs[chosen]) + 1e-9), targets[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()


def fold_batch_norm(module: nn.Module) -> None:
    """Fold each batch normalization into the convolution before it, in place."""
    for child in module.children():
        if isinstance(child, nn.Sequential) and len(child) == 2 and isinstance(child[1], nn.BatchNorm2d):
            child[0] = fuse_conv_bn_eval(child[0], child[1])
            child[1] = nn.Identity()
        else:
            fold_batch_norm(child)


def main(names: list[str]) -> None:
    """Train, report and export the named models."""
    for name in names:
        torch.manual_seed(SEED)
        model = ZOO[name]()
        train(model)
        model.eval()
        fold_batch_norm(model)
        example = torch.zeros(1, 3, INPUT_SIZE, INPUT_SIZE)
        path = HERE / f"{name}.onnx"
        torch.onnx.export(
            model, (example,), str(path), input_names=["image"], output_names=["probabilities"],
            dynamic_axes={"image": {0: "N"}, "probabilities": {0: "N"}}, dynamo=False,
        )  # fmt: skip
        print(f"{name}: accuracy {accuracy(model):.4f}, {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(sys.argv[1:] or list(ZOO))
