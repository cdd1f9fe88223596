"""The architectures of the embedded zoo."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from scenes import SEQUENCE_LENGTH, SHAPES, VOCABULARY
from text_lines import ALPHABET

CLASSES = 10
LEVELS = (12, 6, 3)  # rows and columns of the detector's feature maps
RATIOS = (4, 6, 6)  # default boxes of each place of a level, as the adapter pytorch_ssd_decoder has them


Stride = int | tuple[int, int]


def conv_bn(inputs: int, outputs: int, kernel: int, stride: Stride = 1, groups: int = 1) -> nn.Sequential:
    """Convolution without bias, then batch normalization."""
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs))


class Residual(nn.Module):
    """ResNet's basic block."""

    def __init__(self, inputs: int, outputs: int, stride: Stride) -> None:
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


class Block(nn.Module):
    """A transformer's block with the normalization first (LayerNorm, attention, GELU)."""

    def __init__(self, width: int, heads: int, expand: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, expand * width), nn.GELU(), nn.Linear(expand * width, width))

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """(N, T, width) to the same; ``bias`` (N, 1, 1, T) is added to the attention's logits."""
        count, width = x.shape[1], x.shape[2]
        qkv = self.qkv(self.norm1(x)).reshape(-1, count, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        logits = q @ k.transpose(-2, -1) * (width // self.heads) ** -0.5
        weights = torch.softmax(logits if bias is None else logits + bias, dim=-1)
        x = x + self.out((weights @ v).transpose(1, 2).reshape(-1, count, width))
        return x + self.mlp(self.norm2(x))


class VisionTransformer(nn.Module):
    """ViT-like: patches of 6 x 6, mean over the tokens."""

    def __init__(self, width: int = 48, depth: int = 4) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 6, 6)
        self.position = nn.Parameter(torch.randn(1, 64, width) * 0.02)
        self.blocks = nn.ModuleList(Block(width, 4, 2) for _ in range(depth))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, CLASSES)

    def forward(self, image: Tensor) -> Tensor:
        """(N, 3, 48, 48) to probabilities (N, CLASSES)."""
        x = self.patches(image).flatten(2).transpose(1, 2) + self.position
        for block in self.blocks:
            x = block(x)
        return torch.softmax(self.head(self.norm(x).mean(1)), dim=1)


class ReviewTransformer(nn.Module):
    """Embedding, masked attention, the first token's answer."""

    def __init__(self, width: int = 48, depth: int = 3) -> None:
        super().__init__()
        self.words = nn.Embedding(len(VOCABULARY), width)
        self.position = nn.Parameter(torch.randn(1, SEQUENCE_LENGTH, width) * 0.02)
        self.blocks = nn.ModuleList(Block(width, 4, 2) for _ in range(depth))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 2)

    def forward(self, input_ids: Tensor, input_mask: Tensor) -> Tensor:
        """Two (N, SEQUENCE_LENGTH) integers to logits (N, 2)."""
        x = self.words(input_ids) + self.position
        bias = (input_mask.to(x.dtype) - 1.0)[:, None, None, :] * 1e4
        for block in self.blocks:
            x = block(x, bias)
        return self.head(self.norm(x)[:, 0])


class OpinionEncoder(nn.Module):
    """Embedding, a convolution over neighbours, attention, mean over the tokens: a sentence of any length."""

    def __init__(self, width: int = 48, depth: int = 2) -> None:
        super().__init__()
        self.words = nn.Embedding(len(VOCABULARY), width, padding_idx=0)
        self.neighbours = nn.Conv1d(width, width, 7, padding=3)
        self.blocks = nn.ModuleList(Block(width, 4, 2) for _ in range(depth))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 2)

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Integers (N, T) to logits (N, 2); ``mask`` (N, T) says which tokens are none, in training only."""
        x = self.words(tokens)
        x = x + torch.relu(self.neighbours(x.transpose(1, 2))).transpose(1, 2)
        if mask is None:
            for block in self.blocks:
                x = block(x)
            return self.head(self.norm(x).mean(1))
        for block in self.blocks:
            x = block(x, (mask - 1.0)[:, None, None, :] * 1e4)
        return self.head((self.norm(x) * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True))


class LineRecognizer(nn.Module):
    """CRNN-like: convolutions, mean over the height, LSTM in both directions, letters or blank (0) at each step."""

    def __init__(self, width: int = 96) -> None:
        super().__init__()
        self.features = nn.Sequential(
            conv_bn(1, 16, 3, 2),
            nn.ReLU(),
            Residual(16, 24, (2, 1)),
            Residual(24, 32, (2, 1)),
            Residual(32, 48, (2, 1)),
        )
        self.columns = nn.Sequential(nn.Conv1d(48, width, 3, padding=1, bias=False), nn.BatchNorm1d(width), nn.ReLU())
        self.lstm = nn.LSTM(width, width // 2, bidirectional=True)
        self.letters = nn.Linear(width, 1 + len(ALPHABET))

    def forward(self, image: Tensor) -> Tensor:
        """(N, 1, H, W) to logits (W / 2, N, letters)."""
        # Not by the standard deviation: of that OpenVINO 2026.4 makes an MVN, which ends the process where shapes are
        # dynamic and instructions limited to AVX2.
        shifted = image - image.mean((2, 3), keepdim=True)
        exposed = shifted / (shifted.abs().mean((2, 3), keepdim=True) + 1e-3)
        columns = self.columns(self.features(exposed).mean(2))
        return self.letters(self.lstm(columns.permute(2, 0, 1))[0])


class Detector(nn.Module):
    """Single-shot detector with three levels; scores (N, 1 + CLASSES, boxes) and offsets (N, 4, boxes)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            conv_bn(3, 16, 3, 2),
            nn.ReLU6(),
            InvertedResidual(16, 24, 2, 3),
            InvertedResidual(24, 40, 2, 3),
            InvertedResidual(40, 40, 1, 3),
        )
        self.middle = nn.Sequential(InvertedResidual(40, 56, 2, 3), InvertedResidual(56, 56, 1, 3))
        self.top = InvertedResidual(56, 64, 2, 3)
        widths = (40, 56, 64)
        self.scores = nn.ModuleList(self._head(w, r * (1 + CLASSES)) for w, r in zip(widths, RATIOS, strict=True))
        self.offsets = nn.ModuleList(self._head(w, r * 4) for w, r in zip(widths, RATIOS, strict=True))

    @staticmethod
    def _head(inputs: int, outputs: int) -> nn.Sequential:
        return nn.Sequential(conv_bn(inputs, inputs, 3, 1, inputs), nn.ReLU6(), nn.Conv2d(inputs, outputs, 1))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, 96, 96) to scores and offsets."""
        low = self.stem(image)
        middle = self.middle(low)
        levels = (low, middle, self.top(middle))
        sizes = [ratios * side * side for ratios, side in zip(RATIOS, LEVELS, strict=True)]
        scores = [
            head(level).reshape(-1, 1 + CLASSES, size)
            for head, level, size in zip(self.scores, levels, sizes, strict=True)
        ]
        offsets = [
            head(level).reshape(-1, 4, size) for head, level, size in zip(self.offsets, levels, sizes, strict=True)
        ]
        return torch.cat(scores, 2), torch.cat(offsets, 2)


class UNet(nn.Module):
    """U-Net-like: three levels down, three up."""

    def __init__(self) -> None:
        super().__init__()
        widths = (12, 20, 32, 48)
        self.down = nn.ModuleList(self._double(a, b) for a, b in zip((3, *widths[:-1]), widths, strict=True))
        self.up = nn.ModuleList(
            self._double(widths[i] + widths[i + 1], widths[i]) for i in reversed(range(len(widths) - 1))
        )
        self.head = nn.Conv2d(widths[0], len(SHAPES), 1)

    @staticmethod
    def _double(inputs: int, outputs: int) -> nn.Sequential:
        return nn.Sequential(conv_bn(inputs, outputs, 3), nn.ReLU(), conv_bn(outputs, outputs, 3), nn.ReLU())

    def forward(self, image: Tensor) -> Tensor:
        """(N, 3, 64, 64) to logits (N, classes, 64, 64)."""
        kept = []
        x = image
        for index, stage in enumerate(self.down):
            x = stage(x if index == 0 else functional.max_pool2d(x, 2))
            kept.append(x)
        kept.pop()
        for stage in self.up:
            x = stage(torch.cat([functional.interpolate(x, scale_factor=2.0, mode="nearest"), kept.pop()], 1))
        return self.head(x)


class Upscaler(nn.Module):
    """Super-resolution by two: residual blocks, pixel shuffle, added to the enlarged picture."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1))
            for _ in range(2)
        )
        self.last = nn.Conv2d(width, 12, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, 3, 2 H, 2 W)."""
        x = self.first(image)
        for block in self.blocks:
            x = x + block(x)
        enlarged = functional.interpolate(image, scale_factor=2.0, mode="bilinear", align_corners=False)
        return enlarged + functional.pixel_shuffle(self.last(x), 2)


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
        nn.Linear(56, CLASSES),
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
        nn.Linear(192, CLASSES),
        nn.Softmax(dim=1),
    )


def faces_landmarks() -> nn.Module:
    """Five points of a face, x and y in turns in 0..1: (N, 3, 64, 64) to (N, 10)."""
    return nn.Sequential(
        conv_bn(3, 12, 3, 2),
        nn.ReLU(),
        Residual(12, 16, 2),
        Residual(16, 24, 2),
        Residual(24, 32, 2),
        nn.Flatten(),
        nn.Linear(32 * 16, 48),
        nn.ReLU(),
        nn.Linear(48, 10),
    )
