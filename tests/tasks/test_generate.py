"""The task ``generate``: data, losses, validation, samples."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from tiny import picture, save, scan

from omniconv.data.layouts.image_folder import has_class_folders
from omniconv.data.preprocessing import Preprocessing
from omniconv.errors import FileError, InputError
from omniconv.models import Denoiser, Generator, Inpainter
from omniconv.surfaces import Cubemap, Equirectangular, Healpix, Icosahedron, Icosphere, Plane
from omniconv.tasks import get_task
from omniconv.tasks.generate.denoising import DenoisingLoss
from omniconv.tasks.generate.image_sets import shrink
from omniconv.tasks.generate.pictures import slerp
from omniconv.tasks.generate.sampling import (
    is_image_grid,
    pictures,
    sample_batches,
    sample_labels,
)
from omniconv.tasks.pixels import denormalize

METHODS = ("edm", "flow", "vae", "gan")
SURFACES = (Plane(), Equirectangular(), Cubemap(4), Healpix(4), Icosphere(2), Icosahedron(2))


def folder(root, *names):
    for index, name in enumerate(names):
        save(root / name, picture(index)[0])
    return root


# Data


def test_images_in_any_subfolders_have_no_class(tmp_path):
    found = scan("generate", folder(tmp_path, "a.png", "x/b.png", "x/y/c.png"))
    assert [sample.image.name for sample in found.samples] == ["a.png", "b.png", "c.png"]
    assert found.classes == ()


def test_at_least_two_folders_that_hold_all_images_are_classes(tmp_path):
    found = scan("generate", folder(tmp_path, "cat/a.png", "dog/b.png", "dog/more/c.png"))
    assert found.classes == ("cat", "dog")
    assert [sample.target for sample in found.samples] == [0, 1, 1]


@pytest.mark.parametrize("names", [("cat/a.png", "cat/b.png"), ("cat/a.png", "dog/b.png", "c.png"), ("a.png",)])
def test_one_folder_or_images_beside_the_folders_are_no_classes(tmp_path, names):
    assert not has_class_folders(folder(tmp_path, *names))
    assert len(scan("generate", tmp_path).samples) == len(names)


def test_files_that_are_no_images_do_not_hide_classes(tmp_path):
    folder(tmp_path, "cat/a.png", "dog/b.png", ".hidden.png")
    (tmp_path / "notes.txt").write_text("notes")
    assert has_class_folders(tmp_path)


def test_a_method_without_classes_takes_class_folders_as_subfolders(tmp_path):
    found = get_task("generate", "vae").scan(folder(tmp_path, "cat/a.png", "dog/b.png"), ())
    assert found.classes == ()
    assert len(found.samples) == 2


def test_bad_folders_are_refused(tmp_path):
    with pytest.raises(FileError, match="contains no images; expected images in it and in its subfolders"):
        scan("generate", tmp_path)
    folder(tmp_path, "images/a.png", "masks/a.png")
    with pytest.raises(FileError, match=r"looks like a data set for the task segment, with images/ and masks/; give"):
        scan("generate", tmp_path)


@pytest.mark.parametrize("method", METHODS)
def test_what_is_done_with_classes_is_said(method):
    task = get_task("generate", method)
    text = task.describe_targets((), Counter([0, 0]), None, False)
    assert text[0]["classes"].startswith("none")
    assert "copies" in text[1]["few images"]


# Losses and validation


def test_loss_is_that_of_the_velocity_or_the_image_and_weighs_by_area():
    areas = torch.tensor([[0.5], [1.5]])
    for method, sigma, weight in (("edm", 2.0, 1.25), ("flow", 1.0, 4.0)):
        loss = get_task("generate", method).criterion(areas, None)
        assert isinstance(loss, DenoisingLoss)
        image = torch.zeros(1, 1, 2, 3)
        ones = loss(image + 1, image, torch.tensor([sigma]))
        torch.testing.assert_close(ones, torch.tensor([weight]))
        first_row = torch.tensor([[1.0], [0.0]]).expand(1, 1, 2, 3)
        torch.testing.assert_close(loss(first_row, image, torch.tensor([sigma])), ones / 4)


@pytest.mark.parametrize("method", ["edm", "flow"])
def test_validation_depends_neither_on_batches_nor_on_global_random_numbers(method):
    task = get_task("generate", method)
    torch.manual_seed(0)
    network = Denoiser(1, classes=2, width=4, sigma_data=1.0, parametrization=method).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    images, labels = torch.randn(70, 1, 8, 8), torch.arange(70) % 2
    criterion = task.criterion(None, None)
    results = []
    for size in (70, 16):
        torch.manual_seed(size)
        metric = task.metric(2)
        for x, label in zip(images.split(size), labels.split(size), strict=True):
            task.validation_loss(network, criterion, (x, label), metric, None)
        results.append(metric.compute())
    assert list(results[0]) == list(task.validation_metrics)
    assert results[0] == pytest.approx(results[1], rel=1e-5)


def test_validation_levels_are_those_of_the_training():
    levels = get_task("generate", "edm").levels
    assert levels == pytest.approx((0.1515, 0.4106, 0.8837, 2.395), rel=1e-3)  # quantiles 1/8, 3/8, 5/8, 7/8


@pytest.mark.parametrize(
    ("method", "measure", "healthy", "collapsed", "text"),
    [
        ("gan", "val_variety", 0.5, 0.03, "their variance is 3.0 % of that of the images (collapsed generator)"),
        ("vae", "val_active_units", 1, 0, "so that all samples look alike (posterior collapse)"),
    ],
)
def test_a_collapse_is_noted_while_it_lasts(method, measure, healthy, collapsed, text):
    """Notes of the training are logged and are in the report, see ``test_toy_adversary``."""
    task, good, bad = get_task("generate", method), {measure: healthy}, {measure: collapsed}
    assert task.training_notes([]) == task.training_notes([{}]) == task.training_notes([bad, good]) == []
    (note,) = task.training_notes([good, bad])
    assert text in note


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
@pytest.mark.parametrize("method", METHODS)
def test_measures_over_nothing_are_none(method):
    task = get_task("generate", method)
    computed = task.metric(0).compute()
    assert set(task.validation_metrics) <= set(computed)
    assert set(computed.values()) == {None}


# Samples


@pytest.mark.parametrize("surface", SURFACES, ids=str)
def test_pictures_invert_the_normalization(surface):
    preprocessing = Preprocessing(surface, (8, 16), (0.1, 0.2, 0.3), (0.5, 0.6, 0.7))
    smooth = np.stack([0.5 + 0.4 * np.cos(np.linspace(0, np.pi, 8))[:, None] * np.ones(16)] * 3).astype(np.float32)
    signal = preprocessing.on_surface(smooth)
    if is_image_grid(preprocessing):
        np.testing.assert_allclose(
            denormalize(torch.from_numpy(signal[None]), preprocessing)[0].numpy(), smooth, atol=1e-6
        )
    image = pictures(torch.from_numpy(signal[None]), preprocessing)
    assert image.shape == (1, 8, 16, 3)
    assert image.dtype == np.uint8
    np.testing.assert_allclose(np.moveaxis(image[0], -1, 0) / 255, smooth, atol=0.12)


def test_grey_images_give_grey_pictures():
    grey = Preprocessing(Plane(), (2, 2), (0.5, 0.5, 0.5), (0.2, 0.2, 0.2))
    assert grey.is_grey
    assert not Preprocessing(Plane(), (2, 2), (0.5, 0.5, 0.4), (0.2, 0.2, 0.2)).is_grey
    image = pictures(torch.randn(3, 3, 2, 2), grey)
    assert (image == image[..., :1]).all()


def test_samples_do_not_depend_on_batches_and_on_skipped_ones():
    torch.manual_seed(0)
    network = Denoiser(1, classes=3, width=4, sigma_data=1.0).eval()
    network.preprocessing = {"preparation": {"size": [8, 8]}}
    labels = sample_labels(("a", "b", "c"), 5)
    assert labels == (0, 1, 2, 0, 1)

    def draw(size, **options):
        return dict(sample_batches(network, 5, labels, 7, size, steps=2, **options))

    def joined(parts):
        return torch.cat(list(parts.values()))

    torch.testing.assert_close(joined(draw(5)), joined(draw(2)), rtol=1e-4, atol=1e-4)
    rest = draw(2, skip=lambda part: part.start == 0)
    assert [part.start for part in rest] == [2, 4]
    torch.testing.assert_close(joined(rest), joined(draw(2))[2:])
    done = []
    draw(2, step=done.append)
    assert done == sorted(done)
    assert done[-1] == 5


def test_interpolation_keeps_the_norm_of_noise():
    first, last = torch.randn(2, 50, dtype=torch.float64)
    last = last * first.norm() / last.norm()
    for share in (0.0, 0.3, 1.0):
        torch.testing.assert_close(slerp(first, last, share).norm(), first.norm())
    torch.testing.assert_close(slerp(first, last, 1.0), last)
    torch.testing.assert_close(slerp(first, first, 0.4), first)


def test_large_pictures_are_shrunk_to_compare_them():
    images = np.random.default_rng(0).integers(0, 255, (2, 3, 64, 128), dtype=np.uint8)
    for surface in (Plane(), Equirectangular()):
        small = shrink(images, surface)
        assert small.shape == (2, 3, 32, 64)
        assert small.mean() == pytest.approx(images.mean() / 255, abs=0.01)


def test_unknown_classes_are_refused():
    with pytest.raises(InputError, match="class_name='dgo': must be one of the classes of the network, cat, dog; did"):
        sample_labels(("cat", "dog"), 2, "dgo")
    with pytest.raises(InputError, match="class_name='dog': is given, but the network was trained without classes"):
        sample_labels((), 2, "dog")


def test_inputs_of_a_denoiser_are_those_of_its_example():
    network, x = Denoiser(3, classes=2, width=8), torch.zeros(2, 3, 8, 8)
    image, sigma, label = get_task("generate", "edm").network_inputs(network, x)
    assert image is x
    assert sigma.shape == label.shape == (2,)


@pytest.mark.parametrize(
    ("task", "network", "inputs"),
    [
        (("generate", "gan"), Generator(3, 8, width=4, depth=1), "latent, label, size"),
        (("inpaint", "gated"), Inpainter(3, width=4), "image, mask"),
    ],
)
def test_networks_that_take_no_image_alone_are_refused(task, network, inputs):
    with pytest.raises(InputError, match=rf"takes \({inputs}\), not an image alone; call the network itself"):
        get_task(*task).network_inputs(network, torch.zeros(1, 3, 8, 8))
