"""Weights that a training starts from: sources, refusals, normalization. Resuming: ``tests/runs/test_resume.py``."""

from __future__ import annotations

import shutil
from collections import OrderedDict

import pytest
import torch
from tiny import PLAIN_UNET, SMALL, poison, trained

from omniconv import cli
from omniconv.errors import InputError
from omniconv.inference.predictor import Predictor
from omniconv.models import FPN, Classifier, ResNet, UNet, load, save
from omniconv.models.weights import sources
from omniconv.run_folder import read_optional_json
from omniconv.runs.start import start_run
from omniconv.training.dataset_splits import read_splits
from omniconv.training.module import TrainingModule, set_frozen
from omniconv.training.preflight import check_settings
from omniconv.training.settings import RunConfig
from omniconv.training.starting_weights import load_starting_weights

NORMALIZATION = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.1]}


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """Files of weights of several networks, by name."""
    root = tmp_path_factory.mktemp("weights")
    networks = {"unet": UNet(3, 2, width=2, depth=1), "resnet": ResNet(3, 4, width=4), "fpn": FPN(3, 2, width=4)}
    for name, network in networks.items():
        network.input_normalization = NORMALIZATION
        save(network, root / f"{name}.safetensors")
    torch.save(networks["unet"].state_dict(), root / "unet.pth")
    torch.save(networks["unet"], root / "pickled.pth")
    poison(shutil.copy(root / "unet.safetensors", root / "nan.safetensors"))
    return root


def config(**settings):
    return RunConfig.with_task_defaults(**SMALL | {"task": "segment", "data": "data"} | settings)


def test_a_run_has_the_normalization_of_its_weights_everywhere(files, tmp_path, segment_data):
    lines = []
    given = SMALL | PLAIN_UNET | {"task": "segment", "data": str(segment_data), "weights": files / "unet.safetensors"}
    run = start_run(given, lines.append, out=str(tmp_path / "run"))
    assert any(line.startswith("  weights: ") and line.endswith(" tensors from unet.safetensors") for line in lines)
    assert read_optional_json(run.weights, "")["normalization"] == NORMALIZATION
    assert "Weights at the start" in run.report.read_text()
    for preprocessing in (read_splits(run.data).preprocessing, Predictor(run.path).preprocessing):
        assert {"mean": list(preprocessing.mean), "std": list(preprocessing.std)} == NORMALIZATION
    assert load(run.model).input_normalization == NORMALIZATION


def test_mean_and_std_of_the_settings_come_first(files, tmp_path, segment_data):
    given = PLAIN_UNET | {"mean": "0.1,0.2,0.3", "std": (1, 1, 0.5)}
    run = trained(tmp_path / "run", "segment", segment_data, weights=str(files / "unet.safetensors"), **given)
    preprocessing = Predictor(run.path).preprocessing
    assert (preprocessing.mean, preprocessing.std) == ((0.1, 0.2, 0.3), (1, 1, 0.5))


@pytest.mark.parametrize(
    ("source", "settings", "build", "loaded"),
    [
        ("unet.pth", {"weights": True}, lambda: UNet(3, 2, width=2, depth=1), ("encoder", "decoder", "head")),
        ("unet.safetensors", {"encoder_weights": True}, lambda: UNet(3, 5, width=2, depth=1, up="transposed"), None),
        ("resnet.safetensors", {"encoder_weights": True}, lambda: FPN(3, 5, width=4), None),
        ("fpn.safetensors", {"encoder_weights": True}, lambda: UNet(3, 5, width=4, encoder="resnet18"), None),
        ("resnet.safetensors", {"weights": True}, lambda: ResNet(3, 9, width=4), None),
    ],
)
def test_networks_and_encoders_are_loaded(source, settings, build, loaded, files):
    network = build()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    given = config(**{name: str(files / source) for name in settings})
    report = load_starting_weights(network, given)
    changed = {key for key, value in network.state_dict().items() if not torch.equal(value, before[key])}
    # The first batch normalization starts as every other one.
    assert {key.partition(".")[0] for key in changed} == set(loaded or network.backbone_names) - {"bn1"}
    assert report.normalization == (None if source.endswith(".pth") else NORMALIZATION)
    assert network.input_normalization == report.normalization


def test_frozen_parts_have_no_gradients_and_keep_their_statistics():
    network = ResNet(3, 2, width=2)
    module = TrainingModule(network, RunConfig(task="classify", freeze=1), 2, None).train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    set_frozen(network, True)
    module.network(torch.randn(2, 3, 32, 32)).sum().backward()
    assert {name for name, value in network.named_parameters() if value.grad is not None} == {"fc.weight", "fc.bias"}
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    set_frozen(network, False)
    module.network(torch.randn(2, 3, 32, 32)).sum().backward()
    assert all(value.grad is not None for value in network.parameters())
    assert not torch.equal(network.bn1.running_mean, before["bn1.running_mean"])


@pytest.mark.parametrize("build", [ResNet, UNet, FPN, Classifier])
def test_backbones_are_all_but_the_decoder_or_the_last_layer(build):
    network = build(3, 2, width=2)
    frozen = {id(value) for module in network.backbone for value in module.parameters()}
    parts = {name.partition(".")[0] for name, value in network.named_parameters() if id(value) not in frozen}
    assert parts <= {"fc", "head", "decoder", "lateral", "branches"}
    assert frozen


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"freeze": -1}, r"freeze=-1: must be a whole number from 0"),
        ({"freeze": 1}, "freeze=1: would freeze random weights; give weights or encoder_weights, or leave it out"),
        ({"freeze": 2, "epochs": 2, "weights": "unet.pth"}, "freeze=2: must be less than the number of epochs, 2; fre"),
        ({"freeze": 1, "model": "segnet"}, "freeze=1: is not used by the model segnet; leave it out, or choose"),
        ({"encoder_weights": "unet.pth", "model": "segnet"}, "encoder_weights=.*: is not used by the model segnet"),
        ({"encoder_weights": "a", "weights": "b"}, "encoder_weights='a': cannot be given with weights, which have an"),
        (
            {"mean": "0.5,0.5", "std": "1,1,1"},
            "mean='0.5,0.5': must be three numbers, with commas between them; use me",
        ),
        ({"mean": "0.5,0.5,nan", "std": "1,1,1"}, "mean=.*: must be three numbers"),
        ({"mean": (0.5, 0.5, 0.5), "std": (1, 1, 0)}, "std=.*: must be above 0; use std='0.229,0.224,0.225'"),
        ({"mean": (0.5, 0.5, 0.5)}, "mean='0.5,0.5,0.5': needs std, too; give both or none"),
        (
            PLAIN_UNET | {"weights": "resnet.safetensors"},
            r"weights=.*: has no tensor with a name and shape of the network: it has bn1.bias \(4,\), .* and 120 more; "
            r"the network encoder.stages.0.0.0.weight .*; give weights of the same architecture, or those of its",
        ),
        (
            PLAIN_UNET | {"weights": "unet.pth", "width": 4},
            r"tensors that do not fit the network: encoder.stages.0.0.0.weight \(2, 3, 3, 3\), not \(4, 3, 3, 3\), .*",
        ),
        ({"encoder_weights": "resnet.safetensors"}, "encoder_weights=.*: has no tensor with a name and shape"),
        ({"encoder_weights": "timm"}, "encoder_weights='timm': has no weights for a PlainEncoder with these arguments"),
        ({"weights": "torchvision"}, "weights='torchvision': has no weights for a UNet with these arguments"),
        ({"weights": "nan.safetensors"}, "weights=.*: cannot be used: head.0.bias has 1 of 2 values NaN or infinite"),
        ({"weights": "pickled.pth"}, "pickled.pth: holds a pickled or scripted network, not weights alone"),
        ({"weights": "none.pth"}, "none.pth: does not exist; give 'torchvision', 'timm' or an existing file"),
    ],
)
def test_wrong_settings_are_refused_before_the_data_is_read(settings, text, files):
    is_file = {name for name, value in settings.items() if str(value).endswith((".pth", ".safetensors"))}
    with pytest.raises(InputError, match=text) as caught:
        check_settings(config(**settings | {name: str(files / settings[name]) for name in is_file}), settings)
    assert "\n" not in str(caught.value)


def test_without_a_network_the_file_to_download_is_named(monkeypatch):
    def offline(url, **options):
        raise OSError("Name or service not known")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", offline)
    text = r"encoder_weights='torchvision': could not be downloaded for resnet18 .*; download https://download.pytorch"
    given = RunConfig.with_task_defaults(encoder_weights="torchvision", encoder="resnet18")
    with pytest.raises(InputError, match=text):
        check_settings(given)


def test_published_weights_bring_their_normalization(monkeypatch):
    state = OrderedDict(ResNet(3, 1000).state_dict())
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", lambda url, **options: state)
    network = UNet(3, 2, encoder="resnet18")
    report = load_starting_weights(network, config(encoder_weights="torchvision", encoder="resnet18", width=64))
    assert report.dropped == ["fc.weight (1000, 512)", "fc.bias (1000,)"]
    assert network.input_normalization == sources.IMAGENET
    assert torch.equal(network.encoder.layer4[1].bn2.weight, state["layer4.1.bn2.weight"])


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (
            ["--resume", "RUN", "--weights", "a.pth"],
            "--weights='a.pth': cannot change in a resumed run; only epochs,",
        ),
        (
            ["segment", "data", "--mean", "1"],
            "--mean='1': must be three numbers, with commas between them; use --mean 0.",
        ),
        (["segment", "data", "--weights", "a.pth"], "a.pth: does not exist; give 'torchvision', 'timm' or an existing"),
    ],
)
def test_the_command_says_it_in_its_words(words, text, segment_run, capsys):
    assert cli.main(["train", *(word.replace("RUN", str(segment_run.path)) for word in words)]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert text in line
