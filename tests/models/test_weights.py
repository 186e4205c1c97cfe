from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from plain_resnet import PlainResNet, randomized
from safetensors.torch import save_file

from omniconv.errors import FileError, InputError
from omniconv.models import FPN, LinkNet, ResNet, UNet, load, load_weights, make_encoder, save
from omniconv.models.encoders.resnet import LAYOUTS
from omniconv.models.weights import sources
from omniconv.models.weights.kernels import kernel_map
from omniconv.surfaces import Cubemap, Equirectangular, Healpix, Icosahedron, Icosphere, Plane

FLAT = (Plane(), Equirectangular(), Equirectangular(height=32, kernels="tangent"), Cubemap(32))
MESHES = (Icosphere(4), Icosphere(4, "raw"), Healpix(16), Icosahedron(4))


DIFFERENCES = np.array([
    [[0, 0, 0], [0, 1, 0], [0, 0, 0]], [[0, 0, 0], [-0.5, 0, 0.5], [0, 0, 0]],
    [[0, 0.5, 0], [0, 0, 0], [0, -0.5, 0]], [[0, 1, 0], [1, -4, 1], [0, 1, 0]],
])[:, None]  # fmt: skip
"""Identity, derivatives to the east and north, and Laplacian as flat kernels."""


def flat_network(layers=18, width=4, classes=2, in_channels=3):
    block, depths = LAYOUTS[layers]
    return randomized(PlainResNet(in_channels, classes, depths, block.expansion, width))


def small(surface, **arguments):
    return ResNet(**{"in_channels": 3, "out_channels": 2, "width": 4, "output_stride": 8} | arguments, surface=surface)


@pytest.mark.parametrize("layers", [18, 50])
@pytest.mark.parametrize("surface", FLAT, ids=str)
def test_flat_kernels_are_loaded_exactly(surface, layers):
    state = flat_network(layers).state_dict()
    network = small(surface, layers=layers)
    report = load_weights(network, state)
    assert report.loaded == list(state)
    assert [report.errors, report.adapted, report.dropped, report.skipped, report.kept] == [{}, [], [], [], []]
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize("layers", [18, 50])
@pytest.mark.parametrize("surface", MESHES, ids=str)
def test_on_meshes_only_kernels_are_converted_and_each_has_an_error(surface, layers):
    state = flat_network(layers).state_dict()
    network = ResNet(3, 2, surface, layers, width=4, output_stride=4)
    report = load_weights(network, state)
    assert report.loaded == list(state)
    kernels = {key.removesuffix(".weight") for key, value in state.items() if value.ndim == 4 and value.shape[-1] > 1}
    assert set(report.errors) == kernels
    # Sum and slope of 49 random weights, which are kept, are large for three operators or ten taps.
    assert all(0.1 < error < (2 if name == "conv1" else 1) for name, error in report.errors.items())
    for key, value in network.state_dict().items():
        if key.removesuffix(".weight") not in kernels:
            assert torch.equal(value, state[key].reshape(value.shape)), key
    with torch.no_grad():
        assert network.eval()(torch.randn(1, 3, *surface.shape)).isfinite().all()
    assert f"{len(kernels)} convolutions converted to the mesh, relative errors" in str(report)


@pytest.mark.parametrize("surface", [Icosphere(4), Icosphere(4, "raw"), Healpix(16)], ids=str)
def test_converted_kernels_respond_to_fields_as_flat_ones(surface):
    """A constant, a gradient to the east and to the north, and on an icosphere the Laplacian, near the equator."""
    kernels = np.random.default_rng(0).normal(size=(1, 3, 3, 3))
    if isinstance(surface, Icosphere):  # what its operators can express
        kernels = np.einsum("oim,mjyx->oiyx", np.random.default_rng(0).normal(size=(1, 3, 4)), DIFFERENCES)
    mesh = kernel_map(surface, (3, 3), 3).convert(kernels)[0]
    stencil = surface.conv_neighbours(3)
    x, y, z = surface.directions().reshape(-1, 3).T
    longitude, latitude = np.arctan2(y, x) / surface.spacing, np.arcsin(z) / surface.spacing
    inside = (np.abs(longitude) < 0.5 / surface.spacing) & (np.abs(latitude) < 0.2 / surface.spacing)
    rows, columns = np.indices((3, 3)) - 1
    fields = {
        "constant": (np.ones_like(x), np.ones((3, 3)), 1e-9),
        # Cells of HEALPix at the equator are 9 % wider and lower than squares of their area.
        "east": (longitude, columns, 0.2),
        "north": (latitude, -rows, 0.2),
    }
    if isinstance(surface, Icosphere):
        # An undivided Laplacian is larger where cells are: by up to 20 %.
        fields["Laplacian"] = (longitude**2 + latitude**2, rows**2 + columns**2, 0.4)
    for name, (field, flat, tolerance) in fields.items():
        responses = np.stack([operator @ field for operator in stencil.operators])
        for kernel, flat_kernel in zip(mesh, kernels[0], strict=True):
            response = (kernel @ responses)[inside]
            # A field is measured from each sample: a kernel with a sum sees the value there, too.
            own = field[inside] * flat_kernel.sum() if name != "constant" else 0
            if name == "Laplacian":
                slopes = 2 * (longitude * (flat_kernel * columns).sum() - latitude * (flat_kernel * rows).sum())
                own = own + slopes[inside]
            wanted = (flat_kernel * flat).sum()
            assert np.abs(np.median(response - own) - wanted) < tolerance * np.linalg.norm(flat_kernel), name


@pytest.mark.parametrize("surface", [Icosphere(4), Icosphere(4, "raw"), Healpix(16), Icosahedron(4)], ids=str)
@pytest.mark.parametrize("size", [3, 7])
def test_error_of_a_layer_is_at_most_one_for_fits_and_sums_are_kept(surface, size):
    kernel_size = size if isinstance(surface, Healpix) else 3
    to_mesh = kernel_map(surface, (size, size), kernel_size)
    kernels = np.random.default_rng(1).normal(size=(4, 3, size, size))
    converted = to_mesh.convert(kernels)
    sums = converted[..., 0] if isinstance(surface, Icosphere) else converted.sum(-1)
    np.testing.assert_allclose(sums, kernels.sum((2, 3)), atol=1e-9)
    assert to_mesh.relative_error(np.zeros((1, 1, size, size))) == 0
    assert to_mesh.relative_error(3 * kernels) == pytest.approx(to_mesh.relative_error(kernels))


def test_differences_are_exact_on_an_icosphere():
    to_mesh = kernel_map(Icosphere(3), (3, 3), 3)
    np.testing.assert_allclose(to_mesh.convert(DIFFERENCES)[:, 0], np.eye(4), atol=1e-12)
    assert to_mesh.relative_error(DIFFERENCES) < 1e-6


def test_icosahedron_keeps_the_part_that_is_symmetric_under_half_turns():
    to_mesh = kernel_map(Icosahedron(3), (3, 3), 3)
    sobel = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]).reshape(1, 1, 3, 3)
    assert to_mesh.relative_error(sobel) == pytest.approx(1)
    smooth = np.outer([1, 2, 1], [1, 2, 1]).reshape(1, 1, 3, 3)
    assert to_mesh.relative_error(smooth) < 0.3


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors"])
@pytest.mark.parametrize("prefix", ["", "module.", "model.module."])
def test_files_and_prefixes(tmp_path, suffix, prefix):
    state = {prefix + key: value for key, value in flat_network().state_dict().items()}
    path = tmp_path / f"weights{suffix}"
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    network = small(Plane())
    report = load_weights(network, path)
    assert len(report.loaded) == 122
    assert report.origin == path.name
    assert torch.equal(network.fc.weight, state[f"{prefix}fc.weight"])


@pytest.mark.parametrize("key", ["state_dict", "model"])
def test_nested_checkpoints(tmp_path, key):
    state = flat_network().state_dict()
    torch.save({"epoch": 3, key: state, "optimizer": {"lr": 0.1}}, tmp_path / "checkpoint.pth")
    assert load_weights(small(Plane()), str(tmp_path / "checkpoint.pth")).loaded == list(state)


def below(prefix, state):
    return {f"{prefix}.{key}": value for key, value in state.items()}


@pytest.mark.parametrize(
    ("prefix", "others"),
    [
        ("backbone", ("classifier.0.convs.0.0", "aux_classifier.4")),  # torchvision's segmentation and detection
        ("model.encoder", ("model.decoder.blocks.0.conv1.0", "criterion")),  # Lightning around a network of smp
        ("module.encoder_q", ("module.encoder_k.conv1", "module.encoder_k.layer1.0.conv1")),  # MoCo
    ],
)
def test_of_several_parts_the_one_that_fits_is_loaded_and_the_others_are_listed(prefix, others):
    state = {key: value for key, value in flat_network().state_dict().items() if not key.startswith("fc.")}
    more = {f"{other}.weight": torch.zeros(4, 3, 7, 7) for other in others}
    encoder = make_encoder("resnet18", 3, Plane(), 4, width=4)
    report = load_weights(encoder, more | below(prefix, state))
    assert report.loaded == list(state)
    assert report.dropped == [f"{key} (4, 3, 7, 7)" for key in more]
    assert not report.skipped + report.kept
    assert torch.equal(encoder.conv1.weight, state["conv1.weight"])


def test_many_tensors_of_another_part_are_counted():
    state = flat_network().state_dict()
    more = {f"classifier.{number}.weight": torch.zeros(2) for number in range(5)}
    report = load_weights(small(Plane()), below("backbone", state) | more)
    assert len(report.dropped) == 5
    assert "dropped: classifier.* (5)" in str(report)


def test_encoder_of_an_own_network_is_found_in_its_file(tmp_path):
    source, network = UNet(3, 4, width=4, depth=2), UNet(1, 2, Equirectangular(), width=4, depth=2, up="transposed")
    save(source, tmp_path / "model.safetensors")
    report = load_weights(network.encoder, tmp_path)
    assert report.loaded == list(network.encoder.state_dict())
    assert {entry.partition(".")[0] for entry in report.dropped} == {"decoder", "head"}
    assert report.adapted == ["stages.0.0.0.weight: the sum of its three input channels"]


@pytest.mark.parametrize("build", [UNet, partial(LinkNet, encoder="plain"), partial(FPN, encoder="plain")])
def test_whole_networks_lose_their_last_layer_only(build):
    network = build(3, 5, Plane(), width=4)
    report = load_weights(network, build(3, 2, Plane(), width=4).state_dict())
    layers = {entry.partition(" ")[0].rpartition(".")[0] for entry in report.dropped}
    assert len(layers) == 1
    assert [entry.partition(" ")[0] for entry in report.dropped] == [entry.partition(" ")[0] for entry in report.kept]


def test_last_layer_may_be_missing():
    state = {key: value for key, value in flat_network().state_dict().items() if not key.startswith("fc.")}
    assert load_weights(small(Plane()), state).kept == ["fc.weight (2, 32)", "fc.bias (2,)"]
    state |= {"fc.0.weight": torch.zeros(32, 32), "fc.2.weight": torch.zeros(8, 32)}
    assert load_weights(small(Plane()), state).dropped == ["fc.0.weight (32, 32)", "fc.2.weight (8, 32)"]


def test_names_of_timms_encoders_are_those_of_its_networks():
    encoder = torch.nn.Module()
    encoder.network = torch.nn.ModuleDict({"stages_0": torch.nn.Linear(2, 2), "stages_1": torch.nn.Linear(2, 2)})
    shapes = {"weight": (2, 2), "bias": (2,)}
    state = {f"stages.{stage}.{name}": torch.ones(shape) for stage in (0, 1) for name, shape in shapes.items()}
    report = load_weights(encoder, state | {"head.norm.weight": torch.ones(3)})
    assert report.loaded == list(encoder.state_dict())
    assert report.dropped == ["head.norm.weight (3,)"]


@pytest.mark.parametrize(("channels", "scale"), [(1, None), (2, 1.5), (4, 0.75), (7, 3 / 7)])
@pytest.mark.parametrize("surface", [Plane(), Icosphere(4)], ids=str)
def test_first_convolution_is_adapted_to_the_channels_of_the_image(channels, scale, surface):
    state = flat_network().state_dict()
    reference = small(surface, output_stride=4)
    load_weights(reference, state)
    network = small(surface, in_channels=channels, output_stride=4)
    report = load_weights(network, state)
    assert len(report.adapted) == 1
    weight = reference.conv1.weight
    if scale is None:
        wanted = weight.sum(1, keepdim=True)
    else:
        wanted = torch.stack([weight[:, channel % 3] * scale for channel in range(channels)], 1)
    torch.testing.assert_close(network.conv1.weight, wanted)


def test_last_layer_of_other_classes_is_left_out_and_said():
    network = small(Plane(), out_channels=5)
    before = network.fc.weight.clone()
    report = load_weights(network, flat_network().state_dict())
    assert report.dropped == ["fc.weight (2, 32)", "fc.bias (2,)"]
    assert torch.equal(network.fc.weight, before)
    assert "dropped: fc.weight (2, 32), fc.bias (2,)" in str(report)


def test_encoder_is_loaded_without_the_last_layer():
    encoder = make_encoder("resnet18", 3, Healpix(16), 4, width=4)
    report = load_weights(encoder, flat_network().state_dict())
    assert report.dropped == ["fc.weight (2, 32)", "fc.bias (2,)"]
    assert not report.kept


def test_counters_of_batch_normalization_may_be_missing():
    state = {key: value for key, value in flat_network().state_dict().items() if "num_batches" not in key}
    assert load_weights(small(Plane()), state).loaded == list(state)


def test_tensors_that_do_not_fit_are_named_and_the_network_stays():
    network = small(Plane())
    before = {key: value.clone() for key, value in network.state_dict().items()}
    text = (
        r"weights='a state dict': has tensors that do not fit the network: layer1.0.conv1.weight \(8, 4, 3, 3\), not "
        r"\(4, 4, 3, 3\), .* and \d+ more; give weights of the same architecture, or skip=True to leave these out"
    )
    state = flat_network().state_dict()
    state["layer1.0.conv1.weight"] = torch.zeros(8, 4, 3, 3)
    for number in range(8):
        state[f"layer1.9.{number}.weight"] = torch.zeros(2, 2)
    with pytest.raises(InputError, match=text):
        load_weights(network, state)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    report = load_weights(network, state, skip=True)
    assert report.skipped[0] == "layer1.0.conv1.weight (8, 4, 3, 3), not (4, 4, 3, 3)"
    assert report.kept == ["layer1.0.conv1.weight (4, 4, 3, 3)"]
    assert torch.equal(network.layer1[0].conv1.weight, before["layer1.0.conv1.weight"])


def test_missing_tensors_are_named():
    state = flat_network().state_dict()
    del state["layer2.0.bn1.bias"]
    with pytest.raises(InputError, match=r"layer2.0.bn1.bias \(8,\) is missing"):
        load_weights(small(Plane()), state)


@pytest.mark.parametrize("surface", [Plane(1), Plane(3), Equirectangular(height=32, kernels="rows")], ids=str)
def test_surfaces_without_flat_kernels_are_refused(surface):
    with pytest.raises(InputError, match=r"conv1.weight \(4, 3, 7, 7\), not"):
        load_weights(small(surface, output_stride=4), flat_network().state_dict())


def test_normalization_is_kept_with_the_network(monkeypatch):
    network = small(Plane())
    load_weights(network, flat_network().state_dict(), mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.1))
    assert network.preprocessing["normalization"] == {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.1]}
    assert network.input_normalization == {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.1]}
    urls = []
    state = flat_network(width=64).state_dict()
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", lambda url, **options: urls.append(url) or state)
    network = ResNet(3, 2)
    report = load_weights(network, "torchvision")
    assert urls == ["https://download.pytorch.org/models/resnet18-f37072fd.pth"]
    assert network.preprocessing["normalization"] == sources.IMAGENET
    assert report.origin == "torchvision resnet18 (ImageNet, IMAGENET1K_V1)"


@pytest.mark.parametrize(("channels", "mean"), [(1, [0.4]), (4, [0.5, 0.4, 0.3, 0.5])])
def test_normalization_is_that_of_the_networks_channels(tmp_path, channels, mean):
    source = small(Plane())
    source.input_normalization = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.2]}
    save(source, tmp_path / "a.safetensors")
    network = small(Plane(), in_channels=channels)
    load_weights(network, tmp_path / "a.safetensors")
    assert network.input_normalization["mean"] == pytest.approx(mean)
    assert network.input_normalization["std"] == pytest.approx([0.2] * channels)


def test_normalization_of_a_run_is_kept_in_one_place_and_in_files(tmp_path):
    network = small(Plane())
    network.preprocessing = {
        "task": "classify",
        "preparation": {"mean": [0.1] * 3, "spread": [0.2] * 3, "size": [8, 8]},
    }
    load_weights(network, flat_network().state_dict(), mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.1))
    wanted = {"mean": [0.5, 0.4, 0.3], "spread": [0.2, 0.2, 0.1], "size": [8, 8]}
    assert network.preprocessing == {"task": "classify", "preparation": wanted}
    save(network, tmp_path / "a.safetensors")
    assert load(tmp_path / "a.safetensors").input_normalization == {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.1]}


@pytest.mark.parametrize("damaged", [[], {"mean": [1]}, {"mean": [0.1], "std": [0]}, {"mean": ["a"], "std": [1]}])
def test_damaged_normalization_is_none(damaged):
    network = small(Plane())
    network.preprocessing = {"normalization": damaged}
    assert network.input_normalization is None


def test_without_a_network_the_cure_is_the_file(monkeypatch):
    def offline(url, **options):
        raise OSError("Name or service not known")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", offline)
    text = (
        r"weights='torchvision': could not be downloaded for resnet50 \(Name or service not known\); download "
        r"https://download.pytorch.org/models/resnet50-0676ba61.pth on a machine with a network, and give the file"
    )
    with torch.device("meta"):
        network = make_encoder("resnet50", 3, Plane())
    with pytest.raises(InputError, match=text):
        load_weights(network, "torchvision")


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: UNet(3, 2, width=4), "weights='torchvision': has no weights for a UNet with these arguments"),
        (lambda: small(Plane()), "weights='torchvision': has no weights for a ResNet with these arguments; use a Res"),
    ],
)
def test_networks_without_published_weights_are_refused(build, text):
    with pytest.raises(InputError, match=text):
        load_weights(build(), "torchvision")


def write_module(path):
    torch.save(torch.nn.Linear(2, 2), path)


def write_script(path):
    torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)).save(path)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.parametrize(
    ("name", "write", "text"),
    [
        (
            "a.pth",
            write_module,
            "holds a pickled or scripted network, not weights alone, and reading it could run code",
        ),
        ("a.pt", write_script, "holds a pickled or scripted network, not weights alone, and reading it could run code"),
        ("a.pth", lambda path: path.write_bytes(b"abc"), "is damaged or not a file of torch.save"),
        ("a.pth", lambda path: path.write_bytes(b""), "is damaged or not a file of torch.save"),
        ("a.safetensors", lambda path: path.write_bytes(b"abc"), "is damaged or not a safetensors file"),
        ("a.pth", lambda path: torch.save([1, 2], path), "holds a list, not a state dict"),
        ("a.pth", lambda path: torch.save({"epoch": 1}, path), "has no tensors, neither itself nor below state_dict"),
        ("a.npz", lambda path: path.write_bytes(b""), "must end with .safetensors, .pth, .pt, .bin, .ckpt"),
        ("a.pth", lambda path: path.mkdir(), "is a folder; give 'torchvision', 'timm' or an existing file"),
        ("a.pth", lambda path: None, "does not exist; give 'torchvision', 'timm' or an existing file"),
    ],
)
def test_wrong_files_raise_one_line(tmp_path, name, write, text):
    path = tmp_path / name
    write(path)
    with pytest.raises(FileError, match=text) as caught:
        load_weights(small(Plane()), path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("weights", "options", "text"),
    [
        (torch.nn.Linear(2, 2), {}, "weights='Linear': must be a file or a state dict; use network.state_dict"),
        ({"a": 1}, {}, r"weights=\['a'\]: has no tensors"),
        ({"a": torch.tensor([float("nan")])}, {}, "a has 1 of 1 values NaN or infinite"),
        (
            {"a": torch.zeros(1)},
            {},
            r"has no tensor with a name and shape of the network: it has a \(1,\); the network conv1.weight "
            r"\(4, 3, 7, 7\), bn1.weight \(4,\) and 120 more; give weights of the same architecture",
        ),
        ({"fc.weight": torch.zeros(1)}, {"skip": True}, "has no tensor with a name and shape of the network"),
        ({"fc.bias": torch.zeros(2)}, {"skip": True, "std": (0, 1, 1)}, "mean=None: must be finite numbers"),
        ({"fc.bias": torch.zeros(2)}, {"mean": (0, 0, 0), "std": (0, 1, 1)}, r"std=\(0, 1, 1\): .* above 0"),
        ({"fc.bias": torch.zeros(2)}, {"mean": (0, 0), "std": (1, 1)}, r"mean=\(0, 0\): .* one for each channel"),
        ({"fc.bias": torch.zeros(2)}, {"skip": "no"}, "skip='no': must be True or False"),
        (3, {}, "path=3: must be a string or a path"),
    ],
)
def test_wrong_arguments_raise(weights, options, text):
    with pytest.raises(InputError, match=text):
        load_weights(small(Plane()), weights, **options)


def test_only_networks_take_weights():
    with pytest.raises(InputError, match="network='dict': must be a network; build it first"):
        load_weights({}, {})


def test_timm_must_be_installed(monkeypatch):
    monkeypatch.setattr("omniconv.checks.find_spec", lambda name: None)
    text = r"packages='timm': is not installed, which encoder='timm:resnet18' needs; python -m pip install .*\[timm\]"
    with pytest.raises(InputError, match=text):
        make_encoder("timm:resnet18", 3, Equirectangular())
    with (
        pytest.raises(InputError, match=r"packages='timm': is not installed, which weights='timm' needs"),
        torch.device("meta"),
    ):
        load_weights(ResNet(3, 2), "timm")


@pytest.mark.parametrize("surface", [Icosphere(5), Cubemap(32), Plane(1), Plane(2, border="circular")], ids=str)
def test_networks_of_timm_are_flat(surface):
    with pytest.raises(InputError, match=r"encoder='timm:resnet18': is not possible on .*: networks of timm are flat"):
        make_encoder("timm:resnet18", 3, surface)
