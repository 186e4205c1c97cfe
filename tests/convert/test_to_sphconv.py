"""``to_sphconv``: exact targets, fitted kernels, the report, interruptions and errors."""

from __future__ import annotations

import copy
import io
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import omniconv as oc
from omniconv.convert.sphconv import finetune as sphconv_finetune
from omniconv.convert.sphconv import fitting as sphconv_fitting
from omniconv.convert.sphconv.fitting import RowKernel, _solve_ridge, fit_row, project_kernel
from omniconv.convert.sphconv.source_network import chain
from omniconv.convert.sphconv.targets import all_exact_outputs, exact_outputs
from omniconv.errors import FileError, InputError
from omniconv.surfaces import Equirectangular, panorama

HEIGHT = 16


def small(pool=nn.MaxPool2d, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(), pool(2),
        nn.Sequential(nn.Conv2d(4, 3, 3, padding=1)),
    ).requires_grad_(False)  # fmt: skip


def smooth_panoramas(count, seed=0, height=HEIGHT, channels=2):
    """Return smooth random fields ``(count, channels, H, 2 · H)``."""
    generator = np.random.default_rng(seed)
    directions = panorama.pixel_directions(height, 2 * height)
    waves = generator.normal(0, 4, (3, count * channels, 6))
    values = np.sin(np.einsum("hwd,dns->hwns", directions, waves) + generator.uniform(0, 6, waves.shape[1:])).mean(-1)
    return torch.from_numpy(np.moveaxis(values, -1, 0).reshape(count, channels, height, 2 * height)).float()


def convert(model, panoramas, **settings):
    return oc.convert.to_sphconv(model, panoramas, HEIGHT, **{"turned": 4, "steps": 0, "progress": False, **settings})


@pytest.mark.parametrize("columns", [2, 40])  # fewer equations than weights, and more
def test_the_ridge_regression_minimizes_its_objective(columns):
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(2, *size, generator=generator).double() for size in ((3, columns, 5), (4, columns)))
    prior = RowKernel(torch.randn(4, 3, 5, generator=generator).double(), torch.zeros(4).double())
    found = _solve_ridge(x, y, prior, 0.1)
    rows = torch.cat([x.permute(0, 2, 1, 3).reshape(2 * columns, 15), x.new_ones(2 * columns, 1)], 1)
    weight = 0.1 * rows.square().sum() / 16
    stacked = torch.cat([rows, weight.sqrt() * torch.eye(16).double()])
    targets = torch.cat([prior.weight.flatten(1), prior.bias[:, None]], 1).T
    wanted = torch.linalg.lstsq(stacked, torch.cat([y.transpose(1, 2).flatten(0, 1), weight.sqrt() * targets])).solution
    torch.testing.assert_close(torch.cat([found.weight.flatten(1), found.bias[:, None]], 1).T, wanted)


def test_chain_has_receptive_fields_and_strides():
    layers = [(layer.name, layer.field, layer.stride) for layer in chain(small()) if layer.is_conv]
    assert layers == [("0", 3, 1), ("2", 5, 1), ("5.0", 10, 2)]


def test_exact_output_is_that_of_a_view_centred_on_the_pixel():
    model, x, row, column = small(), smooth_panoramas(1), 2, 5
    found = exact_outputs(chain(model), [5], x, lambda: None)[5]
    latitude = np.pi / 2 - (2 * row + 1) * np.pi / HEIGHT
    longitude = -np.pi + (2 * column + 1) * np.pi / HEIGHT
    offsets = np.tan(np.pi / HEIGHT) * (np.arange(10) - 4.5)
    outward = panorama.unit_vectors(np.array(latitude), np.array(longitude))
    east = np.array([-np.sin(longitude), np.cos(longitude), 0])
    on_plane = outward + offsets[None, :, None] * east - offsets[:, None, None] * np.cross(outward, east)
    view = torch.from_numpy(panorama.sample(x.numpy(), on_plane)).float()
    flat = nn.Sequential(*(layer.layer for layer in chain(model)))(view)
    assert flat.shape[2:] == (5, 5)
    torch.testing.assert_close(found[0, :, row, column], flat[0, :, 2, 2], atol=1e-5, rtol=1e-4)


def test_one_pass_over_the_views_gives_the_outputs_of_each_convolution():
    model, x = small(), smooth_panoramas(2)
    together = all_exact_outputs(chain(model), x, lambda: None)
    assert list(together) == [0, 2, 5]
    for index, found in together.items():
        torch.testing.assert_close(found, exact_outputs(chain(model), [index], x, lambda: None)[index])


def test_exact_outputs_are_equivariant_to_rolls():
    model, x = small(nn.AvgPool2d), smooth_panoramas(2)
    one = exact_outputs(chain(model), [5], x.roll(6, 3), lambda: None)[5]
    other = exact_outputs(chain(model), [5], x, lambda: None)[5].roll(3, 3)
    torch.testing.assert_close(one, other)


def test_exact_outputs_of_one_convolution_agree_with_tangent_kernels():
    model, x = small(), smooth_panoramas(1, height=64)
    layer = oc.nn.Conv(2, 4, surface=Equirectangular(height=64, kernels="tangent"))
    layer.load_state_dict(model[0].state_dict())
    difference = exact_outputs(chain(model), [0], x, lambda: None)[0] - layer(x)
    assert difference.abs().max() < 1e-2 * layer(x).std()


@pytest.mark.parametrize("row", [0, 3, 8])
def test_projected_kernel_agrees_with_the_tangent_kernel_within_its_extent(row):
    layer = nn.Conv2d(2, 3, 3)
    stencil = Equirectangular(height=HEIGHT, kernels="rows").conv_neighbours()
    kernel = project_kernel(layer, stencil, row)
    tangent = Equirectangular(height=HEIGHT, kernels="tangent").conv_neighbours()
    wanted = np.einsum("ocm,mn->ocn", layer.weight.detach().flatten(2).numpy(),
                       tangent.fused[row * 2 * HEIGHT * 9 : row * 2 * HEIGHT * 9 + 9].toarray())  # fmt: skip
    found = np.zeros_like(wanted)
    np.add.at(found, (slice(None), slice(None), stencil.pixels(row)[0].ravel()), kernel.weight.detach().numpy())
    reached = np.isin(np.arange(found.shape[2]), stencil.pixels(row)[0])
    np.testing.assert_allclose(found[..., reached], wanted[..., reached], atol=1e-6)
    assert (
        np.abs(wanted[..., reached]).sum() > 0.6 * np.abs(wanted).sum()
    )  # the kernel of the polar row does not cover all of it


@pytest.mark.parametrize("groups", [1, 2])
def test_fit_recovers_the_kernel_that_made_the_outputs(groups):
    torch.manual_seed(0)
    stencil = Equirectangular(height=8, kernels="rows").conv_neighbours()
    rows, x, row = (
        oc.nn.Conv(4, 6, groups=groups, surface=Equirectangular(height=8, kernels="rows")),
        torch.randn(40, 4, 8, 16),
        2,
    )
    kernel = fit_row(nn.Conv2d(4, 6, 3, groups=groups), stencil, row, x, rows(x).detach()[:, :, row], 1e-9)
    taps = np.prod(stencil.shapes, axis=1)
    own = slice(taps[:row].sum(), taps[: row + 1].sum())
    torch.testing.assert_close(kernel.weight, rows.weight.detach()[:, :, own], atol=1e-4, rtol=0)
    torch.testing.assert_close(kernel.bias, rows.bias.detach()[:, row], atol=1e-4, rtol=0)


def test_large_ridge_gives_the_projected_kernel():
    layer, stencil = nn.Conv2d(4, 6, 3), Equirectangular(height=8, kernels="rows").conv_neighbours()
    kernel = fit_row(layer, stencil, 1, torch.randn(4, 4, 8, 16), torch.randn(4, 6, 16), 1e9)
    torch.testing.assert_close(kernel.weight, project_kernel(layer, stencil, 1).weight, atol=1e-5, rtol=0)


@pytest.fixture(scope="module")
def network():
    return convert(small(), smooth_panoramas(12), held_out=smooth_panoramas(4, seed=1))


def test_errors_on_held_out_panoramas_are_smallest(network):
    report = network.report
    assert report.is_held_out
    assert report.layers == ("0", "2", "5.0")
    for layer in (1, 2):
        others = [report.rmse(method, layer) for method in ("equirectangular", "circular", "tangent")]
        assert report.rmse("sphconv", layer) < min(others)
        assert report.rmse_by_area("sphconv", layer) < report.rmse_by_area("equirectangular", layer)
    assert report.rmse("sphconv", 0) == pytest.approx(report.rmse("tangent", 0))


def test_report_has_every_row_and_a_table(network):
    from rich.console import Console

    assert [len(errors) for errors in network.report.errors["sphconv"]] == [16, 16, 8]
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(network.report.table())
    text = console.export_text()
    assert "4 held-out panoramas" in text
    assert all(name in text for name in ("equirectangular", "circular", "tangent", "sphconv", "5.0"))


def test_report_has_the_errors_of_the_network(network):
    x = smooth_panoramas(4, seed=1)
    wanted = exact_outputs(chain(small()), [5], x, lambda: None)[5]
    error = (network(x) - wanted).square().mean((0, 1, 3)).sqrt()
    np.testing.assert_allclose(network.report.errors["sphconv"][-1], error.detach().numpy(), rtol=1e-4)


def test_network_is_equivariant_to_rolls_and_trainable(network):
    x = smooth_panoramas(1, seed=3)
    torch.testing.assert_close(network(x.roll(2, 3)), network(x).roll(1, 3), atol=1e-5, rtol=0)
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_model_is_not_changed():
    model = small()
    convert(model, smooth_panoramas(2), steps=2)
    for one, other in zip(model.parameters(), small().parameters(), strict=True):
        assert torch.equal(one, other)
        assert not one.requires_grad


def pointwise(inplace):
    """Return a chain with normalization, activations and dropout, in training mode."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.LeakyReLU(0.1, inplace), nn.Dropout2d(0.5),
        nn.Conv2d(4, 3, 3, padding=1), nn.SiLU(inplace), nn.PReLU(3), nn.Conv2d(3, 2, 3, padding=1),
    )  # fmt: skip
    with torch.no_grad():
        model[1].running_mean.uniform_(-1, 1)
        model[1].running_var.uniform_(0.5, 2)
    return model


def test_pointwise_layers_run_in_evaluation_mode():
    model, x = pointwise(inplace=True), smooth_panoramas(12)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    network = convert(model, x, held_out=smooth_panoramas(4, seed=1), steps=3)
    report = network.report
    assert report.layers == ("0", "4", "7")
    assert report.rmse("sphconv") < min(report.rmse(name) for name in ("equirectangular", "circular", "tangent"))
    assert model.training
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key])
    for name, value in network.state_dict().items():
        if name in before and not name.startswith(("4.", "7.")):  # all but the fitted kernels
            assert torch.equal(value, before[name])
    other = convert(pointwise(inplace=False), x, held_out=smooth_panoramas(4, seed=1), steps=3).report
    for method, errors in report.errors.items():
        for one, two in zip(errors, other.errors[method], strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-7)


def test_exact_outputs_include_batch_norm():
    model, x = pointwise(inplace=True).eval(), smooth_panoramas(1)
    folded = torch.nn.utils.fuse_conv_bn_eval(model[0], model[1])
    fused = nn.Sequential(folded, *list(model)[2:])
    found = exact_outputs(chain(model), [4], x, lambda: None)[4]
    torch.testing.assert_close(found, exact_outputs(chain(fused), [3], x, lambda: None)[3])


def test_layers_that_are_used_twice_appear_twice():
    torch.manual_seed(0)
    activation, pool, same = nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(2, 2, 3, padding=1)
    model = nn.Sequential(same, activation, pool, same, activation, pool, nn.Conv2d(2, 3, 1))
    network = convert(model, smooth_panoramas(4))
    unshared = nn.Sequential(*(copy.deepcopy(layer) for layer in model))
    torch.testing.assert_close(parameters(network), parameters(convert(unshared, smooth_panoramas(4))))
    assert network(smooth_panoramas(1)).shape == (1, 3, HEIGHT // 4, HEIGHT // 2)


@pytest.mark.parametrize("around", [torch.no_grad, torch.inference_mode, lambda: torch.autocast("cpu", torch.bfloat16)])
def test_grad_mode_and_autocast_of_the_caller_do_not_matter(around):
    x = smooth_panoramas(2)
    wanted = convert(small(), x, steps=2)
    with around():
        found = convert(small().eval(), x, steps=2)
        torch.testing.assert_close(parameters(found), parameters(wanted))
    assert all(parameter.requires_grad for parameter in found.parameters())


def test_rng_state_of_the_caller_is_kept():
    model, state = small(), torch.random.get_rng_state()
    convert(model, smooth_panoramas(1), steps=1)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_double_precision_is_kept():
    model, x = small().double(), smooth_panoramas(2)
    network = convert(model, x, steps=2)
    assert network(x.double()).dtype == torch.float64
    np.testing.assert_allclose(network.report.rmse("sphconv"), convert(small(), x, steps=2).report.rmse("sphconv"),
                               rtol=1e-3)  # fmt: skip


def test_finetuning_reduces_the_training_error():
    x = smooth_panoramas(6)
    before, after = (convert(small(), x, turned=0, steps=steps, rate=1e-3, batch=6).report for steps in (0, 60))
    assert after.rmse("sphconv") < before.rmse("sphconv")
    assert not after.is_held_out


def test_a_single_convolution_is_exact():
    report = convert(nn.Conv2d(2, 3, 3, padding=1), smooth_panoramas(1)).report
    assert report.rmse("sphconv") < 0.02 * report.sizes[0]


def parameters(network):
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


@pytest.mark.parametrize("stopped_at", [0, 3, 7])
def test_interrupted_fitting_continues_with_the_same_result(tmp_path, monkeypatch, stopped_at):
    model, x = small(), smooth_panoramas(3)
    uninterrupted = convert(model, x, steps=3)
    fit_row, calls = sphconv_fitting.fit_row, []

    def interrupted(*arguments):
        calls.append(1)
        if len(calls) > stopped_at:
            raise KeyboardInterrupt
        return fit_row(*arguments)

    monkeypatch.setattr(sphconv_fitting, "fit_row", interrupted)
    with pytest.raises(KeyboardInterrupt):
        convert(model, x, steps=3, out=tmp_path / "kept")
    monkeypatch.setattr(sphconv_fitting, "fit_row", fit_row)
    again = convert(model, x, steps=3, out=tmp_path / "kept")
    assert torch.equal(parameters(again), parameters(uninterrupted))


def test_interrupted_finetuning_continues_with_the_same_result(tmp_path, monkeypatch):
    model, x = small(), smooth_panoramas(3)
    monkeypatch.setattr(sphconv_finetune, "SAVE_INTERVAL", 2)
    uninterrupted = convert(model, x, steps=7)
    adam_step, calls = sphconv_finetune._adam_step, []

    def interrupted(*arguments):
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt
        adam_step(*arguments)

    monkeypatch.setattr(sphconv_finetune, "_adam_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        convert(model, x, steps=7, out=tmp_path / "kept")
    assert int(load_file(tmp_path / "kept" / "tuning.safetensors")["step"]) == 4
    monkeypatch.setattr(sphconv_finetune, "_adam_step", adam_step)
    again = convert(model, x, steps=7, out=tmp_path / "kept")
    assert torch.equal(parameters(again), parameters(uninterrupted))


SCRIPT = """
import sys, torch
sys.path.insert(0, {tests!r})
torch.set_num_threads(1)
from test_to_sphconv import convert, parameters, smooth_panoramas, small
network = convert(small(), smooth_panoramas(3), steps=40, out=sys.argv[1])
torch.save(parameters(network), sys.argv[2])
"""


@pytest.mark.slow
def test_killed_conversion_continues_with_the_same_result(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(tests=str(Path(__file__).parent)))
    names = ("uninterrupted", "kept")
    uninterrupted, kept = ([sys.executable, script, tmp_path / name, tmp_path / f"{name}.pt"] for name in names)
    subprocess.run(uninterrupted, check=True)
    process = subprocess.Popen(kept)
    while not (tmp_path / "kept" / "kernels-2-2.safetensors").is_file():
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    subprocess.run(kept, check=True)
    one, other = (torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in names)
    assert torch.equal(one, other)


def test_folder_of_something_else_raises(tmp_path):
    convert(small(), smooth_panoramas(1), out=tmp_path / "kept", turned=0)
    for model, x in ((small(seed=1), smooth_panoramas(1)), (small(), smooth_panoramas(1, seed=1))):
        with pytest.raises(FileError, match="holds the conversion of another network"):
            convert(model, x, out=tmp_path / "kept", turned=0)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(FileError, match="is not empty and holds no conversion"):
        convert(small(), smooth_panoramas(1), out=tmp_path / "mine", turned=0)


def test_file_without_the_expected_tensors_raises(tmp_path):
    convert(small(), smooth_panoramas(1), out=tmp_path, turned=0)
    save_file({"mine": torch.zeros(1)}, tmp_path / "kernels-2-0.safetensors")
    with pytest.raises(FileError, match=r"kernels-2-0.safetensors: is damaged .*; remove it"):
        convert(small(), smooth_panoramas(1), out=tmp_path, turned=0)


def test_changed_file_raises(tmp_path):
    convert(small(), smooth_panoramas(1), out=tmp_path, turned=0)
    path = tmp_path / "kernels-2-0.safetensors"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(FileError, match=r"was damaged or changed after it was written .*; remove it"):
        convert(small(), smooth_panoramas(1), out=tmp_path, turned=0)


def test_damaged_file_raises(tmp_path):
    convert(small(), smooth_panoramas(1), out=tmp_path, turned=0)
    (tmp_path / "kernels-2-0.safetensors").write_bytes(b"cut")
    with pytest.raises(FileError, match=r"kernels-2-0.safetensors: is damaged .*; remove it"):
        convert(small(), smooth_panoramas(1), out=tmp_path, turned=0)


def test_panoramas_of_different_heights_are_resized():
    images = [smooth_panoramas(1, height=height)[0].numpy() for height in (16, 24, 40)]
    assert convert(small(), images, turned=0).report.panoramas == 3


def convolution():
    return nn.Conv2d(2, 2, 3, padding=1)


class Shifted(nn.Sequential):
    def forward(self, x):
        return 100 + super().forward(x)


def hooked(layer):
    layer.register_forward_hook(lambda *_: None)
    return layer


def with_nan(layer):
    layer.weight.data[0, 0, 0, 0] = torch.nan
    return layer


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (nn.Sequential(nn.ReLU()), "model='Sequential': must have a convolution"),
        (nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), nn.GroupNorm(1, 2)), "model='1: GroupNorm': is not supported"),
        (
            nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), nn.BatchNorm2d(2, track_running_stats=False)),
            "model='1: BatchNorm2d': must have running statistics",
        ),
        (nn.Sequential(nn.Sequential(nn.Conv2d(2, 2, 3, 2, 1))), "model='0.0: Conv2d': must have stride 1"),
        (nn.Conv2d(2, 2, (3, 5), padding=(1, 2)), "must have stride 1 and a square, odd kernel"),
        (nn.Conv2d(2, 2, 3), "must keep the size: padding=1"),
        (nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), nn.MaxPool2d(3, 2, 1)), "model='1: MaxPool2d': must pool 2 × 2"),
        (nn.Linear(2, 2), "model='the model: Linear': is not supported"),
        (nn.Sequential(convolution(), nn.MaxPool2d(2, return_indices=True)), "must pool 2 × 2 at stride 2"),
        (nn.Sequential(convolution(), nn.MaxPool2d(2, dilation=2)), "must pool 2 × 2 at stride 2"),
        (nn.Sequential(convolution(), nn.AvgPool2d(2, divisor_override=1)), "must pool 2 × 2 at stride 2"),
        (nn.Sequential(Shifted(convolution())), "model='0: Shifted': is not supported with row kernels"),
        (nn.Sequential(hooked(convolution())), "model='0: Conv2d': has hooks or an instance attribute 'forward'"),
        (hooked(nn.Sequential(convolution())), "'the model: Sequential': has hooks or an instance attribute"),
        (convolution().half(), "must have weights in float32 or float64, got torch.float16"),
        (with_nan(convolution()), "model='the model: Conv2d': contains NaN or infinity"),
    ],
)  # fmt: skip
def test_unsupported_model_raises(model, text):
    with pytest.raises(InputError, match=re.escape(text)):
        convert(model, smooth_panoramas(1))


@pytest.mark.parametrize(
    ("panoramas", "settings", "text"),
    [
        (torch.rand(1, 2, 16, 16), {}, "panoramas[0]=(2, 16, 16): must be twice as wide as high"),
        (torch.rand(1, 3, 16, 32), {}, "panoramas[0]=(3, 16, 32): must have the shape (2, h, 2h)"),
        (torch.full((1, 2, 16, 32), torch.nan), {}, "must be finite"),
        ([], {}, "panoramas='list': must be at least one panorama"),
        (None, {}, "panoramas='NoneType': must be at least one panorama"),
        (smooth_panoramas(1), {"held_out": torch.rand(1, 2, 8, 8)}, "held_out[0]=(2, 8, 8): must be twice as wide"),
        (smooth_panoramas(1), {"steps": -1}, "steps=-1: must be a whole number from 0"),
        (smooth_panoramas(1), {"ridge": 0.0}, "ridge=0.0: must be a number above 0"),
        (smooth_panoramas(1), {"ridge": "a"}, "ridge='a': must be a number above 0"),
        (smooth_panoramas(1), {"rate": float("inf")}, "rate=inf: must be a number above 0"),
        (smooth_panoramas(1), {"turned": True}, "turned=True: must be a whole number from 0"),
        (smooth_panoramas(1), {"seed": -1}, "seed=-1: must be an integer from 0"),
        (smooth_panoramas(1), {"out": 3}, "path=3: must be a string or a path"),
    ],
)
def test_wrong_panoramas_and_settings_raise(panoramas, settings, text):
    with pytest.raises(InputError, match=re.escape(text)):
        convert(small(), panoramas, **settings)


def test_height_that_strides_do_not_divide_raises():
    with pytest.raises(InputError, match=r"height=15: must be a multiple of 2, the model's total stride; use 16"):
        oc.convert.to_sphconv(small(), smooth_panoramas(1), 15)
