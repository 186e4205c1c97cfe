"""Operations that are not equivariant are found: by a warning when they run, and by the report."""

from __future__ import annotations

import re
import warnings

import pytest
import torch
import torch.nn.functional as F
from flat_networks import SEAMLESS, AutoencoderLike
from roll_equivariance import noise_image, randomized, roll_error
from torch import nn

import omniconv as oc
from omniconv.errors import InputError


class Positions(nn.Module):
    """Transformer block on tokens with a position embedding."""

    def __init__(self, batch_first=True):
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, 4)
        self.embedding = nn.Parameter(torch.randn(1, 32, 8))
        self.block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=batch_first)
        self.head, self.batch_first = nn.Linear(8, 5), batch_first

    def tokens(self, x):
        return self.patches(x).flatten(2).transpose(1, 2)

    def forward(self, x):
        x = self.tokens(x) + self.embedding
        x = self.block(x) if self.batch_first else self.block(x.transpose(0, 1)).transpose(0, 1)
        return self.head(x.mean(1))


class ClassToken(Positions):
    """Transformer block on tokens without a position embedding, classified by a class token."""

    def forward(self, x):
        x = torch.cat([self.embedding[:, :1].expand(len(x), -1, -1), self.tokens(x)], 1)
        return self.head(self.block(x)[:, 0])


class Windows(nn.Module):
    """Window attention; ``shift`` moves the windows without masking; ``biased`` gives each window its own bias."""

    def __init__(self, shift=0, biased=False):
        super().__init__()
        self.first, self.qkv, self.shift = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(8, 24), shift
        self.bias = nn.Parameter(torch.randn(4, 16, 16) * 3) if biased else None
        self.last = nn.Conv2d(8, 3, 3, padding=1)

    def forward(self, x):
        x = self.first(x).permute(0, 2, 3, 1)
        x = x + self.attend(x.roll((-self.shift, -self.shift), (1, 2))).roll((self.shift, self.shift), (1, 2))
        return self.last(x.permute(0, 3, 1, 2))

    def attend(self, x):
        batch, height, width, channels = x.shape
        x = x.view(batch, height // 4, 4, width // 4, 4, channels).transpose(2, 3).reshape(-1, 16, channels)
        q, k, v = self.qkv(x).chunk(3, -1)
        scores = q @ k.transpose(1, 2)
        if self.bias is not None:  # a different bias for each window of a row
            scores = (scores.unflatten(0, (-1, 4)) + self.bias).flatten(0, 1)
        x = scores.softmax(-1) @ v
        return x.view(batch, height // 4, width // 4, 4, 4, channels).transpose(2, 3).reshape(batch, height, width, -1)


class Flattened(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d((4, 8)))
        self.classifier = nn.Sequential(nn.Flatten(), nn.Linear(128, 5))

    def forward(self, x):
        return self.classifier(self.features(x))


class Warped(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x):
        lines = [torch.linspace(-0.9, 0.9, size, dtype=x.dtype) for size in x.shape[-2:]]
        grid = torch.stack(torch.meshgrid(*lines, indexing="ij")[::-1], -1).expand(len(x), -1, -1, -1)
        return F.grid_sample(self.conv(x), grid, align_corners=False)


def seams(network, **options):
    """Return module, operation and reason of each seam in the report."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", oc.convert.SeamWarning)
        _, report = oc.convert.to_equirectangular(randomized(network), report=True, **options)
    return [(found.module, found.operation, found.reason) for found in report if found.seam]


@pytest.mark.parametrize("kind", list(SEAMLESS), ids=lambda kind: kind.__name__)
def test_report_of_a_seamless_network_has_no_seam_and_gives_the_stride(kind):
    _, report = oc.convert.to_equirectangular(randomized(kind()), report=True, example=noise_image(3, 32, 64))
    assert not [str(found) for found in report if found.seam]
    stride = int(re.search(r"by multiples of (\d+) columns", report[-1].reason)[1])
    assert stride <= SEAMLESS[kind]
    assert roll_error(oc.convert.to_equirectangular(randomized(kind())), noise_image(3, 32, 64), stride) < 1e-10


def test_report_lists_changed_operations_by_module():
    flat = nn.Sequential()
    flat.add_module("stem", nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 1), nn.ReLU()))
    flat.add_module("up", nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True))
    network, report = oc.convert.to_equirectangular(flat, report=True, size=(8, 16))
    assert network is flat
    assert [(found.module, found.operation, found.seam) for found in report] == [
        ("stem.0", "conv2d", False), ("up", "interpolate", False), ("", "forward", False),
    ]  # fmt: skip
    assert "align_corners=True became False" in report[1].reason


@pytest.mark.parametrize("batch_first", [True, False])
def test_position_embedding_is_found(batch_first):
    found = seams(Positions(batch_first), example=noise_image(3, 16, 32))
    assert found == [
        ("", "add", "combines the panorama with values that do not roll with it, such as a position embedding")
    ]


def test_attention_without_positions_has_no_seam():
    assert not seams(ClassToken(), example=noise_image(3, 16, 32))
    assert not seams(AutoencoderLike(), size=(16, 32))


def test_window_attention_has_a_seam_only_if_windows_differ():
    assert not seams(Windows(), size=(16, 64))
    assert not seams(Windows(shift=2), size=(16, 64))
    assert [found[:2] for found in seams(Windows(biased=True), size=(16, 16))] == [("", "reshape")]


def test_flattened_image_is_found():
    (found,) = seams(Flattened(), size=(16, 64))
    assert found[:2] == ("classifier.0", "flatten")
    assert "fixed order" in found[2]


def test_grid_sample_is_found():
    assert seams(Warped(), size=(16, 32))[0][:2] == ("", "grid_sample")


@pytest.mark.parametrize(
    ("layers", "module", "operation", "reason"),
    [
        ([nn.Conv2d(3, 4, 3)], "0", "conv2d", "padding is too small for the kernel; missing output columns: 2"),
        ([nn.Conv2d(3, 4, 3, 2), nn.Conv2d(4, 4, 3, padding=1)], "0", "conv2d", "missing output columns: 1"),
        ([nn.Conv2d(3, 4, 1), nn.AvgPool2d(3, 1)], "1", "avg_pool2d", "padding is too small for the kernel"),
        ([nn.Conv2d(3, 4, 1), nn.MaxPool2d(3)], "1", "max_pool2d", "stride 3 does not divide 32 columns"),
        ([nn.ZeroPad2d((-1, 0, 0, 0)), nn.Conv2d(3, 4, 1)], "0", "pad", "removes columns of the panorama"),
        ([nn.Conv2d(3, 4, 1), nn.AdaptiveAvgPool2d(7)], "1", "adaptive_avg_pool2d", "7 output columns do not divide"),
        ([nn.ConvTranspose2d(3, 4, 4, 2, 3)], "0", "conv_transpose2d", "missing output columns: 4"),
        ([nn.Conv2d(3, 3, 1), nn.Upsample(scale_factor=1.3)], "1", "interpolate", "is not an integer"),
    ],
)  # fmt: skip
def test_seam_warns_with_the_name_of_its_module(layers, module, operation, reason):
    network = oc.convert.to_equirectangular(nn.Sequential(*layers).double())
    with pytest.warns(oc.convert.SeamWarning, match=f"^{module}: {operation}: .*{re.escape(reason)}"):
        network(noise_image())
    found = seams(nn.Sequential(*layers), size=(16, 32))
    assert any(found[:2] == (module, operation) and reason in found[2] for found in found)


def test_warning_can_be_an_error():
    network = oc.convert.to_equirectangular(nn.Conv2d(3, 4, 3).double())
    with pytest.raises(oc.convert.SeamWarning, match="the network: conv2d"):  # warnings are errors in tests
        network(noise_image())


def test_each_of_several_seams_is_found():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
            self.embedding = nn.Parameter(torch.randn(1, 4, 16, 32))
            self.gain = nn.Parameter(torch.randn(16, 32))

        def forward(self, x):
            return self.last(self.first(x) + self.embedding).mul_(self.gain).relu()

    assert [found[1] for found in seams(Two(), size=(16, 32))] == ["add", "mul_"]


def test_report_does_not_change_the_network():
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Dropout()).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    generator = torch.random.get_rng_state()
    oc.convert.to_equirectangular(network, report=True)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(module.training for module in network.modules())
    assert torch.equal(torch.random.get_rng_state(), generator)


def test_example_can_have_several_arguments():
    class Conditioned(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.time = nn.Conv2d(5, 4, 3, padding=1), nn.Linear(2, 4)

        def forward(self, x, time, mask, scale):
            return (self.conv(torch.cat([x, mask], 1)) + self.time(time)[:, :, None, None]) * scale, {"mask": mask}

    arguments = (noise_image(), torch.randn(2, 2), noise_image(2), 3.0)
    assert not seams(Conditioned(), example=arguments)


def test_network_that_fails_in_float64_is_reported_in_its_own_dtype():
    class Single(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3, padding=1)

        def forward(self, x):
            return self.conv(x) + F.conv2d(x, torch.ones(4, 3, 1, 1)) + torch.ones(32)

    _, report = oc.convert.to_equirectangular(Single(), report=True, size=(16, 32))
    assert [found.operation for found in report] == ["conv2d", "forward"]


@pytest.mark.parametrize(
    ("example", "text"),
    [
        (torch.zeros(1, 4), "example=.*must contain an image tensor"),
        ((), "example=.*must contain an image tensor"),
        (torch.zeros(1, 5, 8, 16), "example=.*is not accepted by the network.*5 channels"),
    ],
)
def test_wrong_example_raises_and_the_network_stays_flat(example, text):
    network = nn.Conv2d(3, 4, 3, padding=1)
    with pytest.raises(InputError, match=text):
        oc.convert.to_equirectangular(network, report=True, example=example)
    assert type(network) is nn.Conv2d


class Hidden(nn.Module):
    """Computes a part of its output in NumPy."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x):
        return torch.from_numpy(self.conv(x).detach().numpy().cumsum(-1))


def test_output_that_torch_did_not_compute_is_compared():
    _, report = oc.convert.to_equirectangular(Hidden(), report=True, example=noise_image())
    assert [finding.reason for finding in report if finding.seam] == [
        "is not equivariant to rolling the panorama, because of operations outside torch"
    ]


def test_report_is_a_list_that_prints_as_a_table():
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3), nn.Flatten())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", oc.convert.SeamWarning)
        _, report = oc.convert.to_equirectangular(network, report=True, size=(16, 32))
    assert isinstance(report, list)
    assert all(isinstance(finding, oc.convert.Finding) for finding in report)
    lines = str(report).splitlines()
    middle = f"the output changes by {report.middle_change:.1%} of its standard deviation"
    assert lines[0] == f"1 operation changed, {len(report.seams)} seams left; {middle}"
    assert lines[1].split() == ["module", "operation", "finding", "what", "to", "do"]
    assert lines[2].startswith("1       conv2d     seam: padding is too small for the kernel")
    assert "give the layer padding of half its kernel" in lines[2]
    assert max(map(len, lines)) < 160
    assert repr(report) == str(report)
    assert "<td>seam: padding is too small" in report._repr_html_()


def test_every_seam_says_what_to_do():
    for network in (Flattened(), Warped(), Positions(), Windows(biased=True), nn.Conv2d(3, 4, 3), nn.MaxPool2d(3)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", oc.convert.SeamWarning)
            size = 16 if isinstance(network, Windows) else 32
            example = torch.rand(1, 3, 16, size, dtype=torch.float64)
            _, report = oc.convert.to_equirectangular(randomized(network), report=True, example=example)
        assert all(finding.cure or "use another input width" in finding.reason for finding in report.seams)


def report_of(network, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", oc.convert.SeamWarning)
        return oc.convert.to_equirectangular(network, report=True, **options)[1]


def test_change_of_the_middle_is_reported():
    """Resizing with align_corners=False moves the outputs; kernels that see the poles read other rows over them."""
    torch.manual_seed(0)
    corners = nn.Sequential(
        nn.Conv2d(3, 3, 3, padding=1), nn.Upsample(scale_factor=8, align_corners=True, mode="bilinear")
    )
    report = report_of(corners, size=(16, 32))
    assert 0.01 < report.middle_change < 1
    assert 0 < report.middle_labels < 1
    assert f"the middle of the picture changes by {report.middle_change:.1%} of" in report.headline
    assert "outputs move" in next(found.reason for found in report if found.operation == "interpolate")
    tall = nn.Conv2d(3, 3, (31, 1), padding=(15, 0))
    assert report_of(tall, size=(16, 32)).middle_change == 0
    assert report_of(tall, size=(16, 32), poles="over").middle_change > 0.1
    vector = report_of(nn.Sequential(tall, nn.Flatten(), nn.Linear(1536, 2)), size=(16, 32))
    assert vector.middle_labels is None
    assert "; the output changes by 0.0% of its standard deviation" in vector.headline


class Pyramid(nn.Module):
    """Pools of several sizes, resized and added."""

    def __init__(self, *sizes):
        super().__init__()
        self.conv, self.sizes = nn.Conv2d(3, 3, 1), sizes

    def forward(self, x):
        return sum(F.interpolate(F.adaptive_avg_pool2d(self.conv(x), size), x.shape[-2:]) for size in self.sizes)


@pytest.mark.parametrize("sizes", [(6,), (1, 3, 6), (8, 12)])
def test_pools_that_do_not_divide_the_width_are_found_though_half_a_turn_does_not_show_them(sizes):
    found = [finding.reason for finding in report_of(Pyramid(*sizes), size=(32, 64)).seams]
    assert found == [f"{size} output columns do not divide 64 input columns" for size in sizes if 64 % size]


@pytest.mark.parametrize("as_position", [
    lambda x: torch.arange(x.shape[-1]).to(x), lambda x: torch.arange(x.shape[-1]).type_as(x),
    lambda x: torch.linspace(0, 1, x.shape[-1], dtype=x.dtype).expand_as(x),
])  # fmt: skip
def test_sum_with_positions_is_to_blame_and_not_their_conversion(as_position):
    class Ramp(nn.Conv2d):
        def forward(self, x):
            return super().forward(x) + as_position(x)

    assert [found[1] for found in seams(Ramp(3, 3, 3, padding=1), size=(16, 32))] == ["add"]


def one_size():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.MaxPool2d(3, 2, ceil_mode=True), nn.Flatten(), nn.LazyLinear(2))
    network(torch.zeros(1, 3, 24, 24))
    return network


def test_networks_of_one_size_are_reported_with_their_causes():
    causes = [(found[0], found[1]) for found in seams(one_size(), size=(24, 24))]
    assert causes[:2] == [("0", "conv2d"), ("1", "max_pool2d")]
    padded = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.AdaptiveAvgPool2d((5, 10)), nn.Flatten(), nn.Linear(200, 2)
    )
    assert {found[0] for found in seams(padded, size=(24, 24))} == {"1", "2"}


def test_networks_that_only_whole_turns_leave_alone_are_reported():
    network = nn.Sequential(nn.AvgPool2d(8), nn.Upsample(size=(3, 15)), nn.Conv2d(3, 4, 1))  # 5 and 15 of 40 columns
    assert not report_of(network, size=(16, 40)).seams
    network = nn.Sequential(nn.AvgPool2d(8), nn.Upsample(size=(3, 16)), nn.Conv2d(3, 4, 1))  # strides of 8 and 5
    assert [found.module for found in report_of(network, size=(16, 40)).seams] == ["1"]
    network = nn.Sequential(nn.Conv2d(3, 4, 1, 4), nn.Upsample((4, 4)))  # strides of 4 and 3
    assert [found.module for found in report_of(network, size=(12, 12)).seams] == ["1"]


@pytest.mark.parametrize("inner", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("outer", [torch.float64, torch.float32, torch.bfloat16])
def test_rounding_inside_of_a_network_is_no_seam(inner, outer):
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList(nn.Conv2d(8, 8, 3, padding=1) for _ in range(6))

        def forward(self, x):
            for layer in self.layers:
                x = torch.softmax(layer(x).to(inner), 1).to(x.dtype) * 4 - x
            return x

    torch.manual_seed(0)
    assert not report_of(Mixed().to(outer), size=(16, 32)).seams


def test_all_unpadded_convolutions_are_named():
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.PReLU(), nn.MaxPool2d(2, 2, ceil_mode=True), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3)
    )
    names = [found[0] for found in seams(network, size=(32, 64)) if "padding is too small" in found[2]]
    assert names == ["0", "3", "4"]


def test_a_report_takes_few_runs():
    """Of images: one for the strides, two for the change of the middle, two for each roll that is tried."""
    images = []

    class Counted(nn.Conv2d):
        def forward(self, x):
            images.append(len(x))
            return super().forward(x)

    report_of(Counted(3, 3, 3, padding=1), size=(32, 256))
    assert sum(images) == 1 + 2 + 2
    images.clear()
    assert report_of(nn.Sequential(Counted(3, 3, 3), nn.Flatten()), size=(32, 256)).seams
    assert sum(images) <= 1 + 2 + 2 * 2 + 2  # and one of the flat network, which might wrap by itself
