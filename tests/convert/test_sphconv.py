"""Flat networks with a kernel for each row: exact targets, fitted kernels, the report, interruptions, wrong input."""

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
from omniconv.convert.sphconv import finetune as sphconv_tuning
from omniconv.convert.sphconv import layers as sphconv_layers
from omniconv.convert.sphconv.fitting import fitted, projected
from omniconv.convert.sphconv.source_network import chain
from omniconv.convert.sphconv.targets import exact_outputs
from omniconv.errors import FileError, InputError
from omniconv.surfaces import Equirectangular, panorama
from omniconv.surfaces.equirectangular.tangent_geometry import conv_stencil

HEIGHT = 16


def small(pool=nn.MaxPool2d, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(), pool(2),
        nn.Sequential(nn.Conv2d(4, 3, 3, padding=1)),
    ).requires_grad_(False)  # fmt: skip


def pictures(count, seed=0, height=HEIGHT, channels=2):
    """Smooth fields with some detail, ``(count, channels, H, 2 · H)``."""
    generator = np.random.default_rng(seed)
    directions = panorama.pixel_directions(height, 2 * height)
    waves = generator.normal(0, 4, (3, count * channels, 6))
    values = np.sin(np.einsum("hwd,dns->hwns", directions, waves) + generator.uniform(0, 6, waves.shape[1:])).mean(-1)
    return torch.from_numpy(np.moveaxis(values, -1, 0).reshape(count, channels, height, 2 * height)).float()


def convert(model, panoramas, **kinds):
    return oc.convert.to_sphconv(model, panoramas, HEIGHT, **{"turned": 4, "steps": 0, "progress": False, **kinds})


def test_fields_and_strides_are_those_of_the_chain():
    found = [(step.name, step.field, step.stride) for step in chain(small()) if step.is_conv]
    assert found == [("0", 3, 1), ("2", 5, 1), ("5.0", 10, 2)]


def test_exact_output_is_that_of_the_view_in_whose_middle_the_pixel_lies():
    model, x, row, column = small(), pictures(1), 2, 5
    found = exact_outputs(chain(model), 5, x, lambda: None)
    latitude = np.pi / 2 - (2 * row + 1) * np.pi / HEIGHT
    longitude = -np.pi + (2 * column + 1) * np.pi / HEIGHT
    place = np.tan(np.pi / HEIGHT) * (np.arange(10) - 4.5)
    outward = panorama.unit_vectors(np.array(latitude), np.array(longitude))
    east = np.array([-np.sin(longitude), np.cos(longitude), 0])
    on_plane = outward + place[None, :, None] * east - place[:, None, None] * np.cross(outward, east)
    view = torch.from_numpy(panorama.sample(x.numpy(), on_plane)).float()
    flat = nn.Sequential(*(step.layer for step in chain(model)))(view)
    assert flat.shape[2:] == (5, 5)
    torch.testing.assert_close(found[0, :, row, column], flat[0, :, 2, 2], atol=1e-5, rtol=1e-4)


def test_exact_outputs_turn_with_the_panorama():
    model, x = small(nn.AvgPool2d), pictures(2)
    one = exact_outputs(chain(model), 5, x.roll(6, 3), lambda: None)
    other = exact_outputs(chain(model), 5, x, lambda: None).roll(3, 3)
    torch.testing.assert_close(one, other)


def test_exact_outputs_of_a_linear_layer_are_those_of_tangent_kernels():
    model, x = small(), pictures(1, height=64)
    layer = oc.nn.Conv(2, 4, surface=Equirectangular(height=64, kernels="tangent"))
    layer.load_state_dict(model[0].state_dict())
    difference = exact_outputs(chain(model), 0, x, lambda: None) - layer(x)
    assert difference.abs().max() < 1e-2 * layer(x).std()


@pytest.mark.parametrize("row", [0, 3, 8])
def test_projected_kernel_is_the_tangent_one_where_it_reaches(row):
    layer = nn.Conv2d(2, 3, 3)
    stencil = Equirectangular(height=HEIGHT, kernels="rows").conv_neighbours()
    kernel = projected(layer, stencil, row)
    tangent = conv_stencil(HEIGHT, (3, 3), 1, (1, 1))
    wanted = np.einsum("ocm,mn->ocn", layer.weight.detach().flatten(2).numpy(),
                       tangent.fused[row * 2 * HEIGHT * 9 : row * 2 * HEIGHT * 9 + 9].toarray())  # fmt: skip
    found = np.zeros_like(wanted)
    np.add.at(found, (slice(None), slice(None), stencil.pixels(row)[0].ravel()), kernel.weight.detach().numpy())
    reached = np.isin(np.arange(found.shape[2]), stencil.pixels(row)[0])
    np.testing.assert_allclose(found[..., reached], wanted[..., reached], atol=1e-6)
    assert np.abs(wanted[..., reached]).sum() > 0.6 * np.abs(wanted).sum()  # the polar row's kernel ends before


@pytest.mark.parametrize("groups", [1, 2])
def test_fitted_kernel_finds_the_one_that_made_the_outputs(groups):
    torch.manual_seed(0)
    stencil = Equirectangular(height=8, kernels="rows").conv_neighbours()
    rows, x, row = (
        oc.nn.Conv(4, 6, groups=groups, surface=Equirectangular(height=8, kernels="rows")),
        torch.randn(40, 4, 8, 16),
        2,
    )
    kernel = fitted(nn.Conv2d(4, 6, 3, groups=groups), stencil, row, x, rows(x).detach()[:, :, row], 1e-9)
    taps = np.prod(stencil.shapes, axis=1)
    own = slice(taps[:row].sum(), taps[: row + 1].sum())
    torch.testing.assert_close(kernel.weight, rows.weight.detach()[:, :, own], atol=1e-4, rtol=0)
    torch.testing.assert_close(kernel.bias, rows.bias.detach()[:, row], atol=1e-4, rtol=0)


def test_a_strong_ridge_leaves_the_projected_kernel():
    layer, stencil = nn.Conv2d(4, 6, 3), Equirectangular(height=8, kernels="rows").conv_neighbours()
    kernel = fitted(layer, stencil, 1, torch.randn(4, 4, 8, 16), torch.randn(4, 6, 16), 1e9)
    torch.testing.assert_close(kernel.weight, projected(layer, stencil, 1).weight, atol=1e-5, rtol=0)


@pytest.fixture(scope="module")
def network():
    return convert(small(), pictures(12), held_out=pictures(4, seed=1))


def test_errors_come_out_below_all_others_on_panoramas_held_out(network):
    report = network.report
    assert report.is_held_out
    assert report.layers == ("0", "2", "5.0")
    for layer in (1, 2):
        others = [report.rmse(method, layer) for method in ("equirectangular", "circular", "tangent")]
        assert report.rmse("sphconv", layer) < min(others)
        assert report.rmse_by_area("sphconv", layer) < report.rmse_by_area("equirectangular", layer)
    assert report.rmse("sphconv", 0) == pytest.approx(report.rmse("tangent", 0))


def test_report_has_every_row_and_says_it_in_a_table(network):
    from rich.console import Console

    assert [len(errors) for errors in network.report.errors["sphconv"]] == [16, 16, 8]
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(network.report.table())
    text = console.export_text()
    assert "4 panoramas held out" in text
    assert all(name in text for name in ("equirectangular", "circular", "tangent", "sphconv", "5.0"))


def test_errors_are_those_of_the_network(network):
    x = pictures(4, seed=1)
    wanted = exact_outputs(chain(small()), 5, x, lambda: None)
    error = (network(x) - wanted).square().mean((0, 1, 3)).sqrt()
    np.testing.assert_allclose(network.report.errors["sphconv"][-1], error.detach().numpy(), rtol=1e-4)


def test_network_commutes_with_turns_and_learns_on(network):
    x = pictures(1, seed=3)
    torch.testing.assert_close(network(x.roll(2, 3)), network(x).roll(1, 3), atol=1e-5, rtol=0)
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_the_model_stays_as_it_is():
    model = small()
    convert(model, pictures(2), steps=2)
    for one, other in zip(model.parameters(), small().parameters(), strict=True):
        assert torch.equal(one, other)
        assert not one.requires_grad


def pointwise(inplace):
    """A chain with normalization, activations and dropout, as it is while it is trained."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.LeakyReLU(0.1, inplace), nn.Dropout2d(0.5),
        nn.Conv2d(4, 3, 3, padding=1), nn.SiLU(inplace), nn.PReLU(3), nn.Conv2d(3, 2, 3, padding=1),
    )  # fmt: skip
    with torch.no_grad():
        model[1].running_mean.uniform_(-1, 1)
        model[1].running_var.uniform_(0.5, 2)
    return model


def test_layers_that_treat_every_pixel_by_itself_are_as_in_evaluation():
    model, x = pointwise(inplace=True), pictures(12)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    network = convert(model, x, held_out=pictures(4, seed=1), steps=3)
    report = network.report
    assert report.layers == ("0", "4", "7")
    assert report.rmse("sphconv") < min(report.rmse(name) for name in ("equirectangular", "circular", "tangent"))
    assert model.training
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key])
    for name, value in network.state_dict().items():
        if name in before and not name.startswith(("4.", "7.")):  # all but the fitted kernels
            assert torch.equal(value, before[name])
    other = convert(pointwise(inplace=False), x, held_out=pictures(4, seed=1), steps=3).report
    for method, errors in report.errors.items():
        for one, two in zip(errors, other.errors[method], strict=True):
            np.testing.assert_array_equal(one, two)


def test_exact_outputs_see_normalized_values():
    model, x = pointwise(inplace=True).eval(), pictures(1)
    folded = torch.nn.utils.fuse_conv_bn_eval(model[0], model[1])
    fused = nn.Sequential(folded, *list(model)[2:])
    found = exact_outputs(chain(model), 4, x, lambda: None)
    torch.testing.assert_close(found, exact_outputs(chain(fused), 3, x, lambda: None))


def test_layers_that_stand_twice_work_twice():
    torch.manual_seed(0)
    activation, pool, same = nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(2, 2, 3, padding=1)
    model = nn.Sequential(same, activation, pool, same, activation, pool, nn.Conv2d(2, 3, 1))
    network = convert(model, pictures(4))
    apart = nn.Sequential(*(copy.deepcopy(layer) for layer in model))
    assert torch.equal(parameters(network), parameters(convert(apart, pictures(4))))
    assert network(pictures(1)).shape == (1, 3, HEIGHT // 4, HEIGHT // 2)


@pytest.mark.parametrize("around", [torch.no_grad, torch.inference_mode, lambda: torch.autocast("cpu", torch.bfloat16)])
def test_whatever_the_caller_has_set_it_is_the_same(around):
    x = pictures(2)
    wanted = convert(small(), x, steps=2)
    with around():
        found = convert(small().eval(), x, steps=2)
        assert torch.equal(parameters(found), parameters(wanted))
    assert all(parameter.requires_grad for parameter in found.parameters())


def test_random_numbers_go_on_as_they_were():
    model, state = small(), torch.random.get_rng_state()
    convert(model, pictures(1), steps=1)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_double_precision_is_kept():
    model, x = small().double(), pictures(2)
    network = convert(model, x, steps=2)
    assert network(x.double()).dtype == torch.float64
    np.testing.assert_allclose(network.report.rmse("sphconv"), convert(small(), x, steps=2).report.rmse("sphconv"),
                               rtol=1e-3)  # fmt: skip


def test_training_of_the_whole_brings_it_nearer_to_what_it_learns_from():
    x = pictures(6)
    before, after = (convert(small(), x, turned=0, steps=steps, rate=1e-3, batch=6).report for steps in (0, 60))
    assert after.rmse("sphconv") < before.rmse("sphconv")
    assert not after.is_held_out


def test_a_single_convolution_is_exact():
    report = convert(nn.Conv2d(2, 3, 3, padding=1), pictures(1)).report
    assert report.rmse("sphconv") < 0.02 * report.sizes[0]


def parameters(network):
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


@pytest.mark.parametrize("stopped_at", [0, 3, 7])
def test_interrupted_between_rows_it_goes_on_to_the_same_end(tmp_path, monkeypatch, stopped_at):
    model, x = small(), pictures(3)
    whole = convert(model, x, steps=3)
    found, calls = sphconv_layers.fitted, []

    def interrupted(*arguments):
        calls.append(1)
        if len(calls) > stopped_at:
            raise KeyboardInterrupt
        return found(*arguments)

    monkeypatch.setattr(sphconv_layers, "fitted", interrupted)
    with pytest.raises(KeyboardInterrupt):
        convert(model, x, steps=3, out=tmp_path / "kept")
    monkeypatch.setattr(sphconv_layers, "fitted", found)
    again = convert(model, x, steps=3, out=tmp_path / "kept")
    assert torch.equal(parameters(again), parameters(whole))


def test_interrupted_in_the_training_of_the_whole_it_goes_on_to_the_same_end(tmp_path, monkeypatch):
    model, x = small(), pictures(3)
    monkeypatch.setattr(sphconv_tuning, "SAVED_EVERY", 2)
    whole = convert(model, x, steps=7)
    found = sphconv_tuning._descend

    def interrupted(*arguments):
        if arguments[5] == 5:
            raise KeyboardInterrupt
        found(*arguments)

    monkeypatch.setattr(sphconv_tuning, "_descend", interrupted)
    with pytest.raises(KeyboardInterrupt):
        convert(model, x, steps=7, out=tmp_path / "kept")
    assert int(load_file(tmp_path / "kept" / "tuning.safetensors")["step"]) == 4
    monkeypatch.setattr(sphconv_tuning, "_descend", found)
    again = convert(model, x, steps=7, out=tmp_path / "kept")
    assert torch.equal(parameters(again), parameters(whole))


SCRIPT = """
import sys, torch
sys.path.insert(0, {tests!r})
torch.set_num_threads(1)
from test_sphconv import convert, parameters, pictures, small
network = convert(small(), pictures(3), steps=40, out=sys.argv[1])
torch.save(parameters(network), sys.argv[2])
"""


@pytest.mark.slow
def test_killed_it_loses_nothing(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(tests=str(Path(__file__).parent)))
    whole, kept = ([sys.executable, script, tmp_path / name, tmp_path / f"{name}.pt"] for name in ("whole", "kept"))
    subprocess.run(whole, check=True)
    process = subprocess.Popen(kept)
    while not (tmp_path / "kept" / "kernels-2-2.safetensors").is_file():
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    subprocess.run(kept, check=True)
    one, other = (torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in ("whole", "kept"))
    assert torch.equal(one, other)


def test_folder_of_another_conversion_is_left_alone(tmp_path):
    convert(small(), pictures(1), out=tmp_path / "kept", turned=0)
    for model, x in ((small(seed=1), pictures(1)), (small(), pictures(1, seed=1))):
        with pytest.raises(FileError, match="holds the conversion of another network"):
            convert(model, x, out=tmp_path / "kept", turned=0)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(FileError, match="is not empty and holds no conversion"):
        convert(small(), pictures(1), out=tmp_path / "mine", turned=0)


def test_file_of_anothers_is_named(tmp_path):
    convert(small(), pictures(1), out=tmp_path, turned=0)
    save_file({"mine": torch.zeros(1)}, tmp_path / "kernels-2-0.safetensors")
    with pytest.raises(FileError, match=r"kernels-2-0.safetensors: is damaged .*; remove it"):
        convert(small(), pictures(1), out=tmp_path, turned=0)


def test_damaged_file_is_named(tmp_path):
    convert(small(), pictures(1), out=tmp_path, turned=0)
    (tmp_path / "kernels-2-0.safetensors").write_bytes(b"cut")
    with pytest.raises(FileError, match=r"kernels-2-0.safetensors: is damaged .*; remove it"):
        convert(small(), pictures(1), out=tmp_path, turned=0)


def test_panoramas_of_other_heights_are_brought_to_one():
    images = [pictures(1, height=height)[0].numpy() for height in (16, 24, 40)]
    assert convert(small(), images, turned=0).report.panoramas == 3


def convolution():
    return nn.Conv2d(2, 2, 3, padding=1)


class Shifted(nn.Sequential):
    def forward(self, x):
        return 100 + super().forward(x)


def hooked(layer):
    layer.register_forward_hook(lambda *_: None)
    return layer


def spoilt(layer):
    layer.weight.data[0, 0, 0, 0] = torch.nan
    return layer


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (nn.Sequential(nn.ReLU()), "model='Sequential': must have a convolution"),
        (nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), nn.GroupNorm(1, 2)), "model='1: GroupNorm': is not a layer"),
        (
            nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), nn.BatchNorm2d(2, track_running_stats=False)),
            "model='1: BatchNorm2d': must keep running statistics",
        ),
        (nn.Sequential(nn.Sequential(nn.Conv2d(2, 2, 3, 2, 1))), "model='0.0: Conv2d': must have stride 1"),
        (nn.Conv2d(2, 2, (3, 5), padding=(1, 2)), "must have stride 1 and a square, odd kernel"),
        (nn.Conv2d(2, 2, 3), "must keep the size: padding=1"),
        (nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), nn.MaxPool2d(3, 2, 1)), "model='1: MaxPool2d': must pool 2 × 2"),
        (nn.Linear(2, 2), "model='the model: Linear': is not a layer"),
        (nn.Sequential(convolution(), nn.MaxPool2d(2, return_indices=True)), "must pool 2 × 2 at stride 2"),
        (nn.Sequential(convolution(), nn.MaxPool2d(2, dilation=2)), "must pool 2 × 2 at stride 2"),
        (nn.Sequential(convolution(), nn.AvgPool2d(2, divisor_override=1)), "must pool 2 × 2 at stride 2"),
        (nn.Sequential(Shifted(convolution())), "model='0: Shifted': is not a layer that has row kernels"),
        (nn.Sequential(hooked(convolution())), "model='0: Conv2d': has hooks, or a forward of its own"),
        (hooked(nn.Sequential(convolution())), "model='the model: Sequential': has hooks, or a forward of its own"),
        (convolution().half(), "must be in single or double precision to be fitted, not torch.float16"),
        (spoilt(convolution()), "model='the model: Conv2d': holds NaN or infinity"),
    ],
)  # fmt: skip
def test_model_that_has_no_row_kernels_is_named(model, text):
    with pytest.raises(InputError, match=re.escape(text)):
        convert(model, pictures(1))


@pytest.mark.parametrize(
    ("panoramas", "kinds", "text"),
    [
        (torch.rand(1, 2, 16, 16), {}, "panoramas[0]=(2, 16, 16): must be twice as wide as high"),
        (torch.rand(1, 3, 16, 32), {}, "panoramas[0]=(3, 16, 32): must be (2, h, 2h)"),
        (torch.full((1, 2, 16, 32), torch.nan), {}, "must hold finite numbers"),
        ([], {}, "panoramas='list': must be panoramas, one at least"),
        (None, {}, "panoramas='NoneType': must be panoramas"),
        (pictures(1), {"held_out": torch.rand(1, 2, 8, 8)}, "held_out[0]=(2, 8, 8): must be twice as wide"),
        (pictures(1), {"steps": -1}, "steps=-1: must be a whole number from 0"),
        (pictures(1), {"ridge": 0.0}, "ridge=0.0: must be a number above 0"),
        (pictures(1), {"ridge": "a"}, "ridge='a': must be a number above 0"),
        (pictures(1), {"rate": float("inf")}, "rate=inf: must be a number above 0"),
        (pictures(1), {"turned": True}, "turned=True: must be a whole number from 0"),
        (pictures(1), {"out": 3}, "path=3: must be a text or a path"),
    ],
)
def test_wrong_panoramas_and_settings_are_refused(panoramas, kinds, text):
    with pytest.raises(InputError, match=re.escape(text)):
        convert(small(), panoramas, **kinds)


def test_height_that_the_strides_do_not_fit_is_refused():
    with pytest.raises(InputError, match=r"height=15: must be a multiple of 2, the model's total stride; use 16"):
        oc.convert.to_sphconv(small(), pictures(1), 15)
