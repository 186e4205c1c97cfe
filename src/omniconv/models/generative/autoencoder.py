"""Autoencoders on every surface, plain and variational (Kingma & Welling, ICLR 2014; Higgins et al., ICLR 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from omniconv.checks import check_choice, check_flag, check_integer
from omniconv.errors import InputError
from omniconv.models.generative.batched_sampling import evaluation_mode
from omniconv.models.generative.latent_model import Latent, LatentModel
from omniconv.models.levels import decoder_grids, level_grids, level_surfaces, level_widths, parse_size
from omniconv.nn import Conv, ConvBlock, ConvTranspose, OutputHead, Upsample
from omniconv.nn.blocks import Up, activation_layer
from omniconv.nn.norm.normalization import norm_layer
from omniconv.surfaces import Plane, Surface


class Autoencoder(LatentModel):
    """Encoder of stride-2 convolutions to a small latent signal, and a decoder back to the image.

    A variational one (VAE) encodes an image as a normal distribution with diagonal covariance; its forward pass
    reconstructs from the mean. ``omniconv.generation.variational`` has the terms of its loss.

    Args:
        in_channels: channels of the image.
        latent_channels: channels of the latent signal, or numbers of the latent vector.
        surface: surface of the image.
        variational: encode to means and log-variances.
        latent: ``map``: a signal on the coarsest surface, so that the network takes images of any size; ``vector``: one
            vector per image, by linear layers for images of one size.
        size: grid of the images, with ``latent="vector"`` on a surface of any size.
        hidden: units of a further layer between the coarsest signal and a latent vector; 0: none.
        width: channels after each step of stride 2: one number is doubled at every further step.
        depth: number of steps of stride 2; at most the number of coarser levels of the surface.
        blocks: further 3×3 convolutions after each step, in the encoder and in the decoder.
        kernel_size: taps of convolutions of stride 2, and of transposed ones, on each axis; 3 on a mesh.
        up: ``linear`` interpolation and a 3×3 convolution, or a ``transposed`` convolution.
        head_kernel: kernel of the last layer, 1 or 3; ``None``: the last transposed convolution yields the image.
        sigmoid: end with a sigmoid, for images in 0 … 1.
        normalization: ``batch``, ``group`` or ``none``.
        activation: ``relu``, ``leaky_relu``, ``elu``, ``gelu``, ``silu`` or ``none``.

    Shape:
        ``(batch, in_channels, *grid)`` to the same. The latent signal is ``(batch, latent_channels, *coarsest grid)``
        or ``(batch, latent_channels)``.

    Raises:
        InputError: an argument out of range.

    With ``latent="map"`` encoder and decoder commute with the symmetries of their surface, on ``Equirectangular()``
    with rolls of the panorama by multiples of ``total_stride`` columns. The β-VAE of Higgins et al. (ICLR 2017) for
    64×64 images, 765,335 parameters, is ``Autoencoder(3, 10, variational=True, latent="vector", size=64, hidden=256,
    width=(32, 32, 64, 64), depth=4, blocks=0, kernel_size=4, up="transposed", head_kernel=None,
    normalization="none")``.

    Example:
        >>> network = Autoencoder(1, 4, variational=True, width=8, depth=2).eval()
        >>> mean, log_variance = network.encode(torch.zeros(2, 1, 28, 28))
        >>> mean.shape, network.decode(mean).shape
        (torch.Size([2, 4, 7, 7]), torch.Size([2, 1, 28, 28]))
    """

    output = "autoencoder"

    def __init__(
        self,
        in_channels: int,
        latent_channels: int,
        surface: Surface = Plane(),  # noqa: B008  # surfaces are immutable
        variational: bool = False,
        latent: Latent = "map",
        size: int | Sequence[int] | None = None,
        hidden: int = 0,
        width: int | Sequence[int] = 32,
        depth: int = 3,
        blocks: int = 1,
        kernel_size: int = 3,
        up: Up = "linear",
        head_kernel: int | None = 3,
        sigmoid: bool = False,
        normalization: str = "batch",
        activation: str = "relu",
    ) -> None:
        super().__init__(surface)
        check_choice("latent", latent, ("map", "vector"))
        check_choice("up", up, ("linear", "transposed"))
        if head_kernel is None and up != "transposed":
            rule = "is possible with up='transposed' only, whose last convolution yields the image"
            raise InputError("head_kernel", head_kernel, rule, "use head_kernel=3")
        hidden = check_integer("hidden", hidden, 0, "use hidden=0 for none")
        self.variational = check_flag("variational", variational)
        self.latent_channels = check_integer("latent_channels", latent_channels, 1, "use latent_channels=8")
        self.surfaces = level_surfaces(surface, depth)
        widths = level_widths(width, depth)
        options = _Options(check_integer("blocks", blocks, 0, "use blocks=1"), kernel_size, normalization, activation)
        self.encoder = _encoder(in_channels, widths, self.surfaces, options)
        encoded = self.latent_channels * (2 if self.variational else 1)
        if latent == "map":
            for name, value, unused in (("size", size, None), ("hidden", hidden, 0)):
                if value != unused:
                    raise InputError(name, value, "is used with latent='vector' only", "leave it out")
            self.size = None
            self.to_latent: nn.Module = Conv(widths[-1], encoded, 1, surface=self.surfaces[-1])
            self.from_latent: nn.Module = options.block(self.latent_channels, widths[-1], surface=self.surfaces[-1])
        else:
            self.size = image = parse_size(surface, size, "latent='vector'")
            signal = (widths[-1], *level_grids(self.surfaces, image)[-1])
            self.to_latent = _SignalToVector(signal, hidden, encoded, activation)
            self.from_latent = _VectorToSignal(self.latent_channels, hidden, signal, activation)
        self.decoder = _decoder(in_channels, widths, self.surfaces, options, up, head_kernel is None)
        if head_kernel is None:
            self.head: nn.Module = nn.Sigmoid() if check_flag("sigmoid", sigmoid) else nn.Identity()
        else:
            self.head = OutputHead(widths[0], in_channels, head_kernel, sigmoid, surface)

    def forward(self, x: Tensor) -> Tensor:
        """Reconstruct an image from its latent signal, the mean if variational."""
        encoded = self.encode(x)
        return self.decode(encoded[0] if self.variational else encoded, x.shape[2:])

    def encode(self, x: Tensor) -> Any:
        """Return the latent signal of an image; if variational, the mean and the log-variance of its distribution.

        Raises:
            InputError: images of another size than that of a network with latent vectors.
        """
        if self.size is not None and tuple(x.shape[2:]) != self.size:
            rule = f"must be (batch, channels, {', '.join(map(str, self.size))}), the size of this network"
            raise InputError("input", tuple(x.shape), rule, "resize the images")
        encoded = self.to_latent(self.encoder(x))
        return encoded.chunk(2, 1) if self.variational else encoded

    def decode(self, latent: Tensor, size: Sequence[int] | None = None) -> Tensor:
        """Return the image of a latent signal.

        Args:
            latent: ``(batch, latent_channels, *coarsest grid)`` or ``(batch, latent_channels)``.
            size: grid of the image, on surfaces of any size; by default ``total_stride`` times that of the latent map.
        """
        x = self.from_latent(latent)
        grids = decoder_grids(self.surfaces, x.shape[2:], self.size or size)
        for step in self.decoder:
            x = step(x, grids.pop())
        return self.head(x)

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the reconstruction of images in evaluation mode, without gradients."""
        with evaluation_mode(self):
            return self(x)

    def decode_latent(self, latent: Tensor, label: Tensor | None, size: tuple[int, ...]) -> Tensor:
        return self.decode(latent, size)

    def check_samples(self, label: object) -> None:
        """Check that the autoencoder is variational, and that no class is given.

        Raises:
            InputError: it is not, or one is.
        """
        if not self.variational:
            rule = "has no distribution of its latent signals to sample from"
            raise InputError("variational", False, rule, "train a variational one, variational=True")
        if label is not None:
            raise InputError("label", label, "must be left out: an autoencoder knows no classes", "omit it")


class _Options(NamedTuple):
    """Arguments that the layers of an autoencoder share."""

    blocks: int
    kernel_size: int
    normalization: str
    activation: str

    def block(self, in_channels: int, out_channels: int, **options: Any) -> ConvBlock:
        """Return a convolution with normalization and activation."""
        return ConvBlock(
            in_channels, out_channels, normalization=self.normalization, activation=self.activation, **options
        )

    def same_size_blocks(self, channels: int, surface: Surface) -> list[nn.Module]:
        """Return the further convolutions of one size."""
        return [self.block(channels, channels, surface=surface) for _ in range(self.blocks)]


def _encoder(in_channels: int, widths: list[int], surfaces: list[Surface], options: _Options) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after, fine, coarse in zip([in_channels, *widths], widths, surfaces, surfaces[1:], strict=False):
        layers.append(options.block(before, after, kernel_size=options.kernel_size, stride=2, surface=fine))
        layers += options.same_size_blocks(after, coarse)
    return nn.Sequential(*layers)


def _decoder(
    in_channels: int, widths: list[int], surfaces: list[Surface], options: _Options, up: Up, ends_in_image: bool
) -> nn.ModuleList:
    """Return the steps from the coarsest size to the full one, which has as many channels as half the size."""
    steps: list[nn.Module] = []
    for before, after, fine, coarse in zip(widths, [widths[0], *widths], surfaces, surfaces[1:], strict=False):
        if ends_in_image and not steps:
            steps.append(ConvTranspose(before, in_channels, options.kernel_size, surface=coarse))
        else:
            steps.append(_UpStep(before, after, coarse, fine, up, options))
    return nn.ModuleList(reversed(steps))


class _UpStep(nn.Module):
    """Upsampling by 2 with a convolution to other channels, and convolutions at the finer size."""

    def __init__(
        self, in_channels: int, out_channels: int, coarse: Surface, fine: Surface, up: Up, options: _Options
    ) -> None:
        super().__init__()
        if up == "linear":
            self.up: nn.Module = Upsample(surface=coarse)
            first: list[nn.Module] = [options.block(in_channels, out_channels, surface=fine)]
        else:
            bias = options.normalization == "none"
            self.up = ConvTranspose(in_channels, out_channels, options.kernel_size, bias=bias, surface=coarse)
            first = [norm_layer(options.normalization, out_channels, fine), activation_layer(options.activation)]
        self.convs = nn.Sequential(*first, *options.same_size_blocks(out_channels, fine))

    def forward(self, x: Tensor, output_size: Sequence[int]) -> Tensor:
        return self.convs(self.up(x, output_size=output_size))


class _SignalToVector(nn.Sequential):
    """Linear layers from all samples of the coarsest signal to a vector."""

    def __init__(self, signal: tuple[int, ...], hidden: int, out_features: int, activation: str) -> None:
        first = [nn.Linear(prod(signal), hidden), activation_layer(activation)] if hidden else []
        super().__init__(nn.Flatten(), *first, nn.Linear(hidden or prod(signal), out_features))


class _VectorToSignal(nn.Module):
    """Linear layers from a vector to the coarsest signal, with a bias for each channel as of a convolution."""

    def __init__(self, in_features: int, hidden: int, signal: tuple[int, ...], activation: str) -> None:
        super().__init__()
        self.signal = signal
        first = [nn.Linear(in_features, hidden), activation_layer(activation)] if hidden else []
        self.linear = nn.Sequential(*first, nn.Linear(hidden or in_features, prod(signal), bias=False))
        self.bias = nn.Parameter(torch.zeros(signal[0]))
        self.activation = activation_layer(activation)

    def forward(self, latent: Tensor) -> Tensor:
        x = self.linear(latent).unflatten(1, self.signal)
        return self.activation(x + self.bias.view(-1, *[1] * (len(self.signal) - 1)))
