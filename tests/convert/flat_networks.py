"""Small flat networks in the manner of well-known ones, with layers and with calls of torch functions."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


class SegNetLike(nn.Module):
    """Max pooling with indices, and unpooling by them."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.ModuleList([nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 8, 5, padding="same")])
        self.pool, self.unpool = nn.MaxPool2d(2, return_indices=True), nn.MaxUnpool2d(2)
        self.decoder = nn.ModuleList([nn.Conv2d(8, 6, 3, padding=1), nn.Conv2d(6, 2, 3, padding=1)])

    def forward(self, x):
        switches = []
        for layer in self.encoder:
            x, places = self.pool(F.relu(layer(x)))
            switches.append(places)
        for layer, places in zip(self.decoder, reversed(switches), strict=True):
            x = layer(self.unpool(x, places))
        return x


class OverlappingSegNet(nn.Module):
    """Windows of 3 at stride 2: two may take the same sample, and some reach beyond an edge."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 2, 3, padding=1)

    def forward(self, x):
        x = self.first(x)
        y, places = F.max_pool2d(x, 3, 2, 1, return_indices=True)
        return self.last(F.max_unpool2d(y * 2, places, 3, 2, 1, output_size=x.shape[-2:]))


class UNetLike(nn.Module):
    """Transposed convolutions and skip connections."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList([self._double(3, 6), self._double(6, 8)])
        self.bottom = self._double(8, 10)
        self.up = nn.ModuleList(
            [nn.ConvTranspose2d(10, 8, 4, 2, 1), nn.ConvTranspose2d(8, 6, 3, 2, 1, output_padding=1)]
        )
        self.joined = nn.ModuleList([self._double(16, 8), self._double(12, 6)])
        self.head = nn.Conv2d(6, 2, 1)

    @staticmethod
    def _double(channels: int, out: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(channels, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU(inplace=True),
            nn.Conv2d(out, out, 3, padding=2, dilation=2), nn.GroupNorm(2, out), nn.SiLU(),
        )  # fmt: skip

    def forward(self, x):
        skips = []
        for layer in self.down:
            skips.append(layer(x))
            x = F.max_pool2d(skips[-1], kernel_size=2)
        x = self.bottom(x)
        for up, joined in zip(self.up, self.joined, strict=True):
            x = joined(torch.cat([up(x), skips.pop()], dim=1))
        return self.head(x)


class DeepLabLike(nn.Module):
    """Dilated convolutions beside global pooling, resized to ``x.shape``."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 6, 7, 2, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True)
        )
        self.rates = nn.ModuleList([nn.Conv2d(6, 4, 3, padding=rate, dilation=rate) for rate in (1, 2, 6)])
        self.image = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(6, 4, 1), nn.ReLU())
        self.head = nn.Conv2d(16, 2, 3, padding=1)

    def forward(self, x):
        size = x.shape[-2:]
        x = self.stem(x)
        pooled = F.interpolate(self.image(x), size=x.shape[-2:], mode="bilinear", align_corners=False)
        x = self.head(torch.cat([*(layer(x) for layer in self.rates), pooled], 1))
        return {"out": F.interpolate(x, size=size, mode="bilinear", align_corners=True)}


class SameConv2d(nn.Conv2d):
    """Convolution with TensorFlow's "SAME" padding, which depends on the input size."""

    def forward(self, x):
        above, left = (
            max((-(-size // s) - 1) * s + (k - 1) * d + 1 - size, 0)
            for size, k, s, d in zip(x.shape[-2:], self.kernel_size, self.stride, self.dilation, strict=True)
        )
        x = F.pad(x, [left // 2, left - left // 2, above // 2, above - above // 2])
        return F.conv2d(x, self.weight, self.bias, self.stride, (0, 0), self.dilation, self.groups)


class EfficientLike(nn.Module):
    """Depthwise convolutions and max pooling with "SAME" padding, and squeeze and excitation."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = SameConv2d(3, 8, 3, 2)
        self.depthwise = SameConv2d(8, 8, 5, 2, groups=8)
        self.squeeze, self.excite = nn.Conv2d(8, 2, 1), nn.Conv2d(2, 8, 1)
        self.classifier = nn.Linear(8, 5)

    def forward(self, x):
        x = F.hardswish(self.stem(x))
        x = F.max_pool2d(F.pad(x, (0, 1, 0, 1), value=-float("inf")), 3, 2)
        x = self.depthwise(x)
        x = x * torch.sigmoid(self.excite(F.relu(self.squeeze(x.mean((2, 3), keepdim=True)))))
        return self.classifier(F.adaptive_avg_pool2d(x, 1).flatten(1))


class AutoencoderLike(nn.Module):
    """Padding on two sides before a strided convolution, group norms, attention without position embeddings."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.down = nn.Conv2d(8, 8, 3, stride=2, padding=0)
        self.norm = nn.GroupNorm(4, 8)
        self.query, self.key, self.value, self.out = (nn.Linear(8, 8) for _ in range(4))
        self.up = nn.Conv2d(8, 8, 3, padding=1)
        self.last = nn.Conv2d(8, 3, 3, padding=1)

    def forward(self, x):
        x = self.down(F.pad(F.silu(self.first(x)), (0, 1, 0, 1), mode="constant", value=0))
        x = x + self.attend(self.norm(x))
        x = F.interpolate(x, scale_factor=2.0, mode="nearest")
        return self.last(F.silu(self.up(x)))

    def attend(self, x):
        batch, channels, height, width = x.shape
        x = x.view(batch, channels, height * width).transpose(1, 2)
        q, k, v = (layer(x).view(batch, -1, 2, 4).transpose(1, 2) for layer in (self.query, self.key, self.value))
        x = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, -1, channels)
        return self.out(x).transpose(-1, -2).reshape(batch, channels, height, width)


class EveryLayer(nn.Module):
    """Sequence of all torch layers that read beyond the edges of an image."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"), nn.ReflectionPad2d((2, 1, 1, 2)), nn.Conv2d(4, 4, 4),
            nn.ZeroPad2d(1), nn.LeakyReLU(), nn.Conv2d(4, 4, 5, padding=1, groups=2), nn.ReplicationPad2d(1),
            nn.MaxPool2d(3, 2), nn.ConstantPad2d((1, 0, 0, 1), 2.0), nn.AvgPool2d(2, 1), nn.LPPool2d(2, 2),
            nn.ConvTranspose2d(4, 4, 3, 2, padding=1, output_padding=1), nn.CircularPad2d(1), nn.Conv2d(4, 4, 3),
            nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True), nn.UpsamplingNearest2d(scale_factor=2),
            nn.AvgPool2d(3, 2, 1, count_include_pad=False), nn.UpsamplingBilinear2d(scale_factor=2),
            nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular"), nn.AvgPool2d(3, 2, ceil_mode=True),
            nn.Conv2d(4, 4, (1, 5), padding=(0, 2)), nn.Dropout2d(), nn.PixelShuffle(2), nn.PixelUnshuffle(2),
            nn.LocalResponseNorm(2), nn.ZeroPad2d((-1, 1, 0, 0)), nn.InstanceNorm2d(4),
        )  # fmt: skip

    def forward(self, x):
        return self.layers(x)


class EveryFunction(nn.Module):
    """Sequence of all torch functions that read beyond the edges of an image, with parameters of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 3, 3, 3) / 5)
        self.square = nn.Parameter(torch.randn(4, 4, 3, 3) / 6)
        self.even = nn.Parameter(torch.randn(4, 4, 4, 4) / 8)

    def forward(self, x):
        x = torch.conv2d(x, self.weight, None, 1, 1)
        x = F.conv_transpose2d(x, self.even, stride=2)[:, :, 1:-1, 1:-1]
        x = F.conv_transpose2d(F.pad(x, (1, 1, 1, 1)), self.square, stride=2)[..., 2:-3, 2:-3]
        x = F.avg_pool2d(x, 4, 2, 1, divisor_override=7)
        x = F.conv2d(F.pad(F.pad(x, (1, 1, 1, 1)), (1, 2, 1, 2), mode="replicate"), self.even, padding=1)[
            ..., 1:-1, 1:-1
        ]
        x = F.lp_pool2d(x.abs(), 3, 3, 2, ceil_mode=True)
        x = F.interpolate(x, scale_factor=(2, 2), mode="bicubic")
        columns = F.unfold(x, 3, padding=1) * torch.linspace(0.1, 1, 36, dtype=x.dtype)[:, None]
        x = F.fold(columns, x.shape[-2:], 3, padding=1)
        x = F.interpolate(x, size=(x.shape[2] // 2, x.shape[3] // 2), mode="bilinear", antialias=True)
        x = F.interpolate(x, scale_factor=1.5, mode="bilinear", align_corners=False)
        x = F.interpolate(x, scale_factor=2 / 3, mode="area", recompute_scale_factor=False)
        y, places = F.max_pool2d(x, 2, return_indices=True)
        x = x + F.max_unpool2d(y, places, 2) + torch.max_pool2d(x, 3, 1, 1)
        x = torch.constant_pad_nd(x, (1, 1, 1, 1), 3.0).chunk(2, 1)
        x = F.conv2d(torch.cat(x, 1), self.square)
        x = F.pad(x, (0, 0, 0, 0, 1, 1))  # pads channels only
        return F.conv2d(x, self.square.repeat(1, 2, 1, 1)[:, :6], padding="same")


SEAMLESS = {
    SegNetLike: 4, OverlappingSegNet: 2, UNetLike: 4, DeepLabLike: 4, EfficientLike: 8, AutoencoderLike: 2,
    EveryLayer: 4, EveryFunction: 8,
}  # fmt: skip
"""Networks that can be made seamless, and their total strides."""
