"""Networks of the user's own, flat or converted to panoramas, as models: saved, trained, evaluated and exported.

The network takes images ``(batch, channels, height, width)``. ``OwnNetwork`` gives it its channels (RGB, BGR or grey),
selects one of its outputs, and brings that to the form that its tasks expect.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from omniconv.checks import check_choice, check_integer
from omniconv.convert.equirectangular import PoleRows, to_equirectangular
from omniconv.convert.finding import SeamWarning
from omniconv.convert.network_output import OutputKey, select_output
from omniconv.convert.overrides.module_class import evaluation_mode
from omniconv.convert.tangent import to_tangent
from omniconv.errors import InputError, describe_error, pluralize
from omniconv.models.base import Model
from omniconv.models.own_code import NetworkCode, make_network, network_code
from omniconv.models.storage.rebuilding import tensor_specs
from omniconv.nn import Upsample
from omniconv.nn.inspection import preserved_random_state
from omniconv.nn.symbolic import statically_true
from omniconv.surfaces import Equirectangular, Plane, Surface

ChannelOrder = Literal["rgb", "bgr", "grey"]
RGB = 3
LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in grey, of ITU-R BT.601, as Pillow and OpenCV convert images."""
SMALLEST_SIDE = 16
"""Rows and columns that any network should take that takes images of any size."""


class OwnNetwork(Model):
    """Base class of networks of the user's own, see ``OwnDense``, ``OwnGlobal`` and ``OwnImage``.

    Args:
        network: the network: a module, which is copied, a function or class without arguments, or its import path as
            ``omniconv.models.own_code.network_code`` returns it. A plain string is refused: files hold strings, and no
            code runs because a file names it.
        in_channels: channels of the images; 3 unless ``channel_order`` is ``rgb``.
        out_channels: classes, or channels of the output.
        surface: ``Plane()``, where the network stays as it is; ``Equirectangular()``, which converts it by
            ``oc.convert.to_equirectangular``; or ``Equirectangular(height=H, kernels="tangent")``, by ``to_tangent``.
        poles: values above and below a panorama, as in ``to_equirectangular``; on ``Equirectangular()`` only, whose own
            ``poles`` count where outputs are resized.
        channel_order: channels that the network takes: ``rgb``, ``bgr`` (as of OpenCV), or ``grey``, one channel.
        output_key: key or index of its output, if it returns several; the first tensor by default.

    Attributes:
        network: the network of the user.

    Raises:
        InputError: the network cannot be made or converted, or an argument is out of range. When it runs: the network
            does not take the images, or its output has another number of channels.
    """

    def __init__(
        self,
        network: Any,
        in_channels: int,
        out_channels: int,
        surface: Surface = Plane(),  # noqa: B008  # surfaces are immutable
        poles: PoleRows = "flat",
        channel_order: ChannelOrder = "rgb",
        output_key: OutputKey = None,
    ) -> None:
        super().__init__(surface)
        self.out_channels = check_integer("out_channels", out_channels, 1, "give the number of classes")
        self.channel_order = check_choice("channel_order", channel_order, get_args(ChannelOrder))
        check_integer("in_channels", in_channels, 1, "use in_channels=3")
        if self.channel_order != "rgb" and in_channels != RGB:
            rule = f"must be {RGB}, for channel_order={self.channel_order!r}"
            raise InputError("in_channels", in_channels, rule, "use channel_order='rgb' for other images")
        is_index = isinstance(output_key, str) and output_key.isdecimal()
        self.output_key = int(output_key) if is_index else output_key  # type: ignore[arg-type]
        code = network if isinstance(network, NetworkCode) else _given_code(network)
        self._recorded_as = {"network": code}
        if poles != "flat" and (surface == Plane() or not surface.any_size):
            rule = f"is not used on {surface}"
            raise InputError("poles", poles, rule, "leave it out, or use surface='equirectangular'")
        own_channels = 1 if self.channel_order == "grey" else in_channels
        self.network = on_surface(make_network(code), surface, poles, own_channels)
        self.resize = Upsample(surface=Plane() if isinstance(surface, Plane) else Equirectangular())
        self.built_tensors = tensor_specs(self.state_dict())

    @property
    def flat_network(self) -> nn.Module:
        """The network of the user, whose names of weights are those of its files."""
        return self.network

    @property
    def total_stride(self) -> int:
        """Not known: raises InputError."""
        rule, cure = "has a total stride that is not known", "measure it: omniconv.audit.total_stride"
        raise InputError("network", str(self.code), rule, cure)

    @property
    def min_size(self) -> int:
        """Smallest size of an axis that an exported file takes: that of other modules of the user's own."""
        return SMALLEST_SIDE

    def network_input(self, x: Tensor) -> Tensor:
        """Return images ``(batch, 3, *grid)`` as the network takes them: in its channels."""
        if self.channel_order == "grey":
            return (x * x.new_tensor(LUMA).view(-1, 1, 1)).sum(1, keepdim=True)
        return x.flip(1) if self.channel_order == "bgr" else x

    def forward(self, x: Tensor) -> Tensor:
        """Return the output of the network for images ``(batch, in_channels, *grid)``, in the form of its class."""
        return self._as_output(self._run(x), x)

    def count_channels(self, grid: Sequence[int]) -> int:
        """Return the number of channels that the network returns for noise of a size.

        Raises:
            InputError: as ``check_output``.
        """
        with preserved_random_state(), evaluation_mode(self), torch.no_grad():
            output = self._run(self.example_inputs(grid)[0])
        if output.ndim < 2:
            raise self._unusable(output, "an output for each image", "return (batch, classes, height, width)")
        return 1 if output.ndim == 3 else output.shape[1]

    def _run(self, x: Tensor) -> Tensor:
        """Return the selected output of the network."""
        x_own = self.network_input(x)
        if torch.compiler.is_compiling():  # compilers and exporters have errors of their own
            return select_output(self.network(x_own), self.output_key)
        try:
            with warnings.catch_warnings():  # of every image: `omniconv convert` says what cannot be converted
                warnings.simplefilter("ignore", SeamWarning)
                result = self.network(x_own)
        except (Exception, SystemExit) as error:  # the user's forward may raise anything
            if isinstance(error, MemoryError) or "memory" in str(error):
                raise
            rule = f"cannot take an image of {' × '.join(map(str, x_own.shape[1:]))} ({describe_error(error)})"
            raise InputError("network", str(self.code), rule, "choose another size, or its channels") from error
        return select_output(result, self.output_key)

    @torch.no_grad()
    def check_output(self, grid: Sequence[int]) -> None:
        """Run the network once on noise of a size, in evaluation mode.

        Raises:
            InputError: it does not take images of this size, or its output has another number of channels or axes, or
                NaN or infinity.
        """
        with preserved_random_state(), evaluation_mode(self):
            parameter = next(self.parameters(), torch.zeros(()))
            output = self(self.example_inputs(grid)[0].to(parameter.device, parameter.dtype))
        if not bool(output.isfinite().all()):
            rule, cure = "returns NaN or infinity", "check its weights, and mean and std of its images"
            raise InputError("network", str(self.code), rule, cure)

    def _as_output(self, output: Tensor, x: Tensor) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} must define _as_output")

    def _maps(self, output: Tensor) -> Tensor:
        """Return an output ``(batch, channels, *grid)``."""
        if output.ndim not in (3, 4):
            raise self._unusable(output, "an output for each pixel", "use a task with one output per image")
        return output[:, None] if output.ndim == 3 else output

    def _resized(self, output: Tensor, x: Tensor) -> Tensor:
        """Return an output of the grid of ``x``."""
        pairs = zip(output.shape[2:], x.shape[2:], strict=True)
        if all(statically_true(own == wanted) for own, wanted in pairs):  # exporters must not fix either size
            return output
        return self.resize(output, output_size=x.shape[2:])

    def _scores(self, output: Tensor) -> Tensor:
        """Return scores of all classes; one channel is the score of the second of two classes."""
        if output.shape[1] == 1 and self.out_channels == 2:
            return torch.cat([torch.zeros_like(output), output], 1)
        if output.shape[1] != self.out_channels:
            wanted = f"with {pluralize(self.out_channels, 'channel')}, one for each class"
            raise self._unusable(output, wanted, "name as many classes, or choose another output by output_key=NAME")
        return output

    def _unusable(self, output: Tensor, wanted: str, cure: str) -> InputError:
        rule = f"returns a tensor {tuple(output.shape)}, not {wanted}"
        return InputError("network", str(self.code), rule, cure)


class OwnDense(OwnNetwork):
    """Network of the user's own with class scores for each pixel, or each pixel of a coarser grid.

    See ``OwnNetwork`` for its arguments. Its output ``(batch, classes, height, width)``, or ``(batch, height, width)``
    of one class against the background, is resized to the size of the image. One channel counts as the score of the
    second of two classes against the first, as networks for binary cross entropy return it.

    Shape:
        ``(batch, in_channels, height, width)`` to ``(batch, out_channels, height, width)``.

    Example:
        >>> flat = nn.Sequential(nn.Conv2d(3, 2, 3, 2, 1), nn.ReLU())
        >>> network = OwnDense(flat, 3, 2, Equirectangular())
        >>> network(torch.rand(1, 3, 16, 32)).shape, network.arguments["network"]
        (torch.Size([1, 2, 16, 32]), 'torch.nn.modules.container:Sequential')
    """

    output = "dense"

    def _as_output(self, output: Tensor, x: Tensor) -> Tensor:
        return self._resized(self._scores(self._maps(output)), x)


class OwnGlobal(OwnNetwork):
    """Network of the user's own with class scores for each image, ``(batch, classes)`` or ``(batch, classes, 1, 1)``.

    See ``OwnNetwork`` for its arguments. One channel counts as the score of the second of two classes.

    Shape:
        ``(batch, in_channels, height, width)`` to ``(batch, out_channels)``.

    Example:
        >>> flat = nn.Sequential(nn.Conv2d(3, 5, 3), nn.AdaptiveAvgPool2d(1))
        >>> OwnGlobal(flat, 3, 5)(torch.rand(2, 3, 16, 32)).shape
        torch.Size([2, 5])
    """

    output = "global"

    def _as_output(self, output: Tensor, x: Tensor) -> Tensor:
        if output.ndim < 2 or output[0].numel() != output.shape[1]:
            raise self._unusable(output, "one output per image", "use a task with an output for each pixel")
        return self._scores(output.flatten(1))


class OwnImage(OwnNetwork):
    """Network of the user's own that returns an image: a denoiser, say, or a network that sharpens or colours images.

    See ``OwnNetwork`` for its arguments. The image has the channels and the units of the network's input, such as 0 to
    1; it is resized to the size of the input. Grey images are repeated for red, green and blue.

    Shape:
        ``(batch, in_channels, height, width)`` to ``(batch, in_channels, height, width)``.

    Example:
        >>> network = OwnImage(nn.Conv2d(1, 1, 3, padding=1), 3, 3, Equirectangular(), channel_order="grey")
        >>> network(torch.rand(1, 3, 16, 32)).shape
        torch.Size([1, 3, 16, 32])
    """

    output = "image"

    def _as_output(self, output: Tensor, x: Tensor) -> Tensor:
        image = self._maps(output)
        if image.shape[1] not in (1, self.out_channels):
            raise self._unusable(image, f"an image of {self.out_channels} channels", "use a task with classes")
        image = self._resized(image, x).expand(-1, self.out_channels, -1, -1)
        return image.flip(1) if self.channel_order == "bgr" else image


def on_surface(network: nn.Module, surface: Surface, poles: PoleRows, in_channels: int) -> nn.Module:
    """Return a flat network on a plane, or converted in place to panoramas.

    Args:
        network: the network.
        surface: ``Plane()``, ``Equirectangular()`` or ``Equirectangular(height=H, kernels="tangent")``.
        poles: values above and below panoramas of any size, see ``to_equirectangular``.
        in_channels: channels of its images.

    Raises:
        InputError: another surface, or a network that cannot be converted.
    """
    check_surface_of_flat(surface)
    if not isinstance(surface, Equirectangular):
        return network
    if surface.height is None:
        return to_equirectangular(network, poles=poles)
    example = torch.zeros(1, in_channels, surface.height, 2 * surface.height)
    return to_tangent(network, surface.height, example=example)


def check_surface_of_flat(surface: Surface) -> None:
    """Check that a flat network runs on a surface, as it is or converted.

    Raises:
        InputError: it does not.
    """
    if surface == Plane():
        return
    if not isinstance(surface, Equirectangular) or surface.kernels == "rows":
        rule = "is not possible for a flat network"
        raise InputError("surface", str(surface), rule, "use surface='plane' or surface='equirectangular'")


def _given_code(network: Any) -> NetworkCode:
    if isinstance(network, str):
        rule = "names code, which does not run unasked"
        raise InputError("network", network, rule, "give the module, or network_code(...) of omniconv.models.own_code")
    return network_code(network)
