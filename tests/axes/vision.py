"""Small networks of images: one of each kind of block."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ResidualCnn(nn.Module):
    """A residual trunk, an inner width, and a flatten before the head."""

    def __init__(self, trunk: int = 7, inner: int = 11, outputs: int = 2) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, trunk, 3, padding=1)
        self.norm = nn.BatchNorm2d(trunk)
        self.first = nn.Conv2d(trunk, inner, 3, padding=1, bias=False)
        self.inner_norm = nn.BatchNorm2d(inner)
        self.second = nn.Conv2d(inner, trunk, 1)
        self.head = nn.Linear(trunk * 16, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.stem(x)))
        x = x + self.second(F.relu(self.inner_norm(self.first(x))))
        return self.head(x.flatten(1))


class Concatenation(nn.Module):
    """Two branches side by side, normalised together, one of them used again."""

    def __init__(self, left: int = 5, right: int = 7, outputs: int = 2) -> None:
        super().__init__()
        self.left = nn.Conv2d(3, left, 1)
        self.right = nn.Conv2d(3, right, 1)
        self.norm = nn.BatchNorm2d(left + right)
        self.again = nn.Linear(left, 3)
        self.head = nn.Linear((left + right) * 4, outputs)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        left = self.left(x)
        both = self.norm(torch.cat([left, self.right(x)], 1))
        return self.head(both.flatten(1)), self.again(both[:, : left.shape[1]].mean((2, 3)))


class Grouped(nn.Module):
    """A depthwise convolution between two others, then a grouped one."""

    def __init__(self, groups: int = 3, width: int = 5, out: int = 7) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, groups * width, 1)
        self.depthwise = nn.Conv2d(groups * width, groups * width, 3, groups=groups * width)
        self.grouped = nn.Conv2d(groups * width, groups * out, 1, groups=groups)
        self.head = nn.Conv2d(groups * out, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.grouped(F.relu(self.depthwise(self.first(x))))))


class SqueezeExcite(nn.Module):
    """Channels that are scaled by what they say on average."""

    def __init__(self, width: int = 7, squeezed: int = 5) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        self.down = nn.Conv2d(width, squeezed, 1)
        self.up = nn.Conv2d(squeezed, width, 1)
        self.head = nn.Linear(width, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        scale = self.up(F.silu(self.down(F.adaptive_avg_pool2d(x, 1)))).sigmoid()
        return self.head((x * scale).mean((2, 3)))


class Shuffle(nn.Module):
    """Grouped convolutions with their channels shuffled between."""

    def __init__(self, groups: int = 3, width: int = 5) -> None:
        super().__init__()
        self.groups = groups
        self.first = nn.Conv2d(3, groups * width, 1, groups=1)
        self.second = nn.Conv2d(groups * width, 2 * groups, 1, groups=groups)
        self.depthwise = nn.Conv2d(2 * groups, 2 * groups, 3, padding=1, groups=2 * groups)
        self.head = nn.Conv2d(2 * groups, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(self.first(x))
        b, c, h, w = x.shape
        x = x.view(b, self.groups, c // self.groups, h, w).transpose(1, 2).reshape(b, c, h, w)
        return self.head(F.relu(self.depthwise(x)))


class Dense(nn.Module):
    """Features that pile up, as in a DenseNet."""

    def __init__(self, growth: int = 3, layers: int = 3) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 5, 1)
        widths = [5 + growth * k for k in range(layers)]
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in widths)
        self.layers = nn.ModuleList(nn.Conv2d(width, growth, 3, padding=1) for width in widths)
        self.head = nn.Linear(5 + growth * layers, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for norm, layer in zip(self.norms, self.layers, strict=True):
            x = torch.cat([x, layer(norm(x).relu())], 1)
        return self.head(x.mean((2, 3)))


class Mixer(nn.Module):
    """Tokens and channels in turn, over patches."""

    def __init__(self, width: int = 6, tokens: int = 5, channels: int = 7) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 2, stride=2)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.tokens = nn.Sequential(nn.Linear(4, tokens), nn.GELU(), nn.Linear(tokens, 4))
        self.channels = nn.Sequential(
            nn.Linear(width, channels), nn.GELU(), nn.Linear(channels, width)
        )
        self.head = nn.Linear(width, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = x + self.tokens(self.norms[0](x).transpose(1, 2)).transpose(1, 2)
        x = x + self.channels(self.norms[1](x))
        return self.head(self.norms[2](x).mean(1))


class Inverted(nn.Module):
    """An inverted bottleneck with a squeeze, as in MobileNetV3 and EfficientNet."""

    def __init__(self, width: int = 6, inner: int = 10, squeezed: int = 4) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        )
        self.expand = nn.Sequential(nn.Conv2d(width, inner, 1, bias=False), nn.BatchNorm2d(inner))
        self.spatial = nn.Sequential(
            nn.Conv2d(inner, inner, 3, padding=1, groups=inner, bias=False), nn.BatchNorm2d(inner)
        )
        self.squeeze, self.excite = nn.Linear(inner, squeezed), nn.Linear(squeezed, inner)
        self.project = nn.Sequential(nn.Conv2d(inner, width, 1, bias=False), nn.BatchNorm2d(width))
        self.head = nn.Linear(width, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = F.hardswish(self.stem(x))
        y = F.hardswish(self.spatial(F.hardswish(self.expand(x))))
        gate = F.hardsigmoid(self.excite(self.squeeze(y.mean((2, 3))).relu()))
        x = x + self.project(y * gate[:, :, None, None])
        return self.head(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))


class Upsampler(nn.Module):
    """Transposed convolutions, a pixel shuffle, skips by concatenation."""

    def __init__(self, width: int = 6, inner: int = 5) -> None:
        super().__init__()
        self.down = nn.Conv2d(3, width, 2, stride=2)
        self.middle = nn.Conv2d(width, inner, 1)
        self.up = nn.ConvTranspose2d(inner, width, 2, stride=2)
        self.fuse = nn.Conv2d(width + 3, 4 * inner, 1)
        self.shuffle = nn.PixelShuffle(2)
        self.out = nn.Conv2d(inner, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.up(self.middle(self.down(x).relu()).relu())
        return self.out(self.shuffle(self.fuse(torch.cat([y, x], 1))))
