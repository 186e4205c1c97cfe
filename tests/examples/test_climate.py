"""Climate example: data, statistics, and the command on small maps of noise."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from scipy.io import netcdf_file

from examples.climate import __main__ as program
from examples.climate import data, measures, training
from omniconv.errors import FileError
from omniconv.surfaces import Equirectangular, Healpix


def write(folder, name, seed, shape=(12, 64, 128)):
    random = np.random.default_rng(seed)
    with netcdf_file(folder / f"trefht_member{name}.nc", "w") as file:
        for axis, size in zip(("time", "lat", "lon"), shape, strict=True):
            file.createDimension(axis, size)
        file.createVariable("lat", "f4", ("lat",))[:] = np.linspace(-88, 88, shape[1])
        field = 280 - np.linspace(-30, 30, shape[1])[:, None] + random.normal(size=shape)
        file.createVariable("TREFHT", "f4", ("time", "lat", "lon"))[:] = field


@pytest.fixture
def folder(tmp_path):
    for number in range(3):
        write(tmp_path, number, number)
    return tmp_path


def test_training_anomalies_have_unit_variance_at_each_place_and_north_is_up(folder):
    climate = data.load(folder)
    assert climate.training.shape == (24, 64, 128)
    np.testing.assert_allclose(climate.training.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(climate.training.std(0), 1, atol=1e-5)
    assert climate.mean[0].mean() < climate.mean[-1].mean()  # the file's first row is the southernmost one
    coarse = data.load(folder, 32)
    blocks = climate.mean.reshape(32, 2, 64, 2)
    assert (blocks.min((1, 3)) <= coarse.mean).all()
    assert (coarse.mean <= blocks.max((1, 3))).all()
    assert climate.names == ("member0", "member1", "member2")


def test_network_sees_the_places_at_every_noise_level(folder):
    climate = data.load(folder)
    for surface in (Equirectangular(), Healpix(4)):
        places = data.places(climate, surface)
        assert places.shape[0] == 5
        assert np.isfinite(places).all()
        network = training.PlacedDenoiser(surface, places, width=4, depth=1)
        field = data.to_surface(climate.training[:3], surface)
        fit = training.fit(network, field, 1, 0, print)
        assert training.sample(fit.network, 2, 0, steps=2).shape == (2, *field.shape[1:])


def test_spectrum_sums_to_the_mean_square():
    maps = np.random.default_rng(0).normal(size=(3, 64, 128))
    power = measures.spectrum(maps)
    total = power[0] + power[-1] + 2 * power[1:-1].sum()
    assert total == pytest.approx((maps**2 * data.areas((64, 128))).sum((1, 2)).mean())


def test_held_out_maps_differ_from_themselves_by_nothing(folder):
    climate = data.load(folder)
    found = measures.measure(climate.held_out, climate)
    assert found["variance"] == pytest.approx(1)
    for name in ("std_rms", "zonal_mean_rms", "large_scales_db", "small_scales_db"):
        assert found[name] == pytest.approx(0, abs=1e-6)
    assert found["authentic"] > 0.5


def test_flat_networks_have_the_size_and_the_start_of_that_on_the_panorama(folder):
    climate = data.load(folder, 32)
    networks = {}
    for name in ("equirectangular", "circular", "plane"):
        surface = program.SURFACES[name](32)
        torch.manual_seed(0)
        networks[name] = training.PlacedDenoiser(surface, data.places(climate, surface), width=4, depth=1)
    states = [network.state_dict() for network in networks.values()]
    assert all(torch.equal(states[0][name], state[name]) for state in states for name in states[0])


def test_command_writes_records_and_a_figure(folder, tmp_path, capsys):
    out = tmp_path / "out"
    options = {"height": 32, "steps": 1, "samples": 3, "width": 4, "depth": 1}
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    words += ["--surface", "healpix", "--surface", "circular"]
    assert program.main(["--data", str(folder), *words, "--out", str(out)]) == 0
    records = json.loads((out / "results.json").read_text(encoding="utf-8"))
    names = ["a training member", "circular", "healpix", "held-out member", "held-out member through healpix"]
    assert [record["name"] for record in records] == names
    assert (out / "samples.png").stat().st_size > 10_000
    assert "authentic" in capsys.readouterr().out


def test_other_files_are_refused(tmp_path, capsys):
    with pytest.raises(FileError, match="has no two files"):
        data.load(tmp_path)
    write(tmp_path, 0, 0, (2, 32, 64))
    write(tmp_path, 1, 0)
    assert program.main(["--data", str(tmp_path)]) == 2
    assert "must hold finite maps of 64 × 128" in capsys.readouterr().err
