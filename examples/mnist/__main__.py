"""Generate digits by four methods after equal CPU time: vae, gan, flow, edm.

python -m examples.mnist --data FOLDER [--method METHOD] [--cpu-minutes 8] [--quick] [--out FOLDER]
"""

from __future__ import annotations

import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from rich.console import Console

from benchmarks.timing import machine
from examples.command_line import run_command
from examples.mnist import results
from examples.mnist.evaluation import authentic, conditional_accuracy, describe, measure
from examples.mnist.methods import CLASSES, METHODS
from examples.mnist.recipes import RECIPES, quick
from examples.mnist.training import train
from examples.spherical_mnist.data import Digits, load
from omniconv.files import check_writable, write_bytes
from omniconv.metrics import FeatureNetwork, train_features
from omniconv.models import save

OUT = Path("runs/mnist")
CLASSIFIER_BUDGET = 9e11
"""Multiply-adds of the classifier's training, about 3 CPU minutes."""
QUICK_SAMPLES = 40
"""Samples of each method with ``--quick``: 1,000 of a diffusion model take one and a half minutes."""
AUTHENTIC_SAMPLES = 500
"""Samples that are compared with all training images, pixel by pixel."""


@click.command(help=__doc__, context_settings={"max_content_width": 110})
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of MNIST, as npz or idx files; without it scikit-learn's 1,797 digits.",
)
@click.option("--method", type=click.Choice(["all", *METHODS]), default="all", show_default=True)
@click.option("--cpu-minutes", type=click.FloatRange(0, min_open=True), default=8.0, show_default=True)
@click.option("--samples", type=click.IntRange(20), default=1000, show_default=True)
@click.option("--held-out", is_flag=True, help="Train without the last 5,000 training digits and measure with them.")
@click.option("--quick", "is_quick", is_flag=True, help="Second-long trainings, to try the command.")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=OUT, show_default=True)
def command(
    data: Path | None, method: str, cpu_minutes: float, samples: int, held_out: bool, is_quick: bool,
    threads: int, seed: int, out: Path,
) -> None:  # fmt: skip
    """Train the chosen methods, print a table and write results."""
    for name in (results.NUMBERS, results.FEATURES):
        check_writable(out / name)
    results.load(out)  # refuse other files of that name before the training
    torch.set_num_threads(threads)
    samples = min(samples, QUICK_SAMPLES) if is_quick else samples
    digits, test = load(data)
    if held_out:
        digits, test = _split(digits)
    classifier = _classifier(digits, out, 1e9 if is_quick else CLASSIFIER_BUDGET, seed)
    for name in METHODS if method == "all" else [method]:
        seconds = 0.5 if is_quick else 60 * cpu_minutes
        _run(name, digits, test, classifier, seconds, samples, is_quick, seed, out)
    _report(digits, test, classifier, samples, seed, out)


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_command(command, "mnist", arguments)


def _split(digits: Digits) -> tuple[Digits, Digits]:
    count = max(1, len(digits) // 12)
    return digits.first(len(digits) - count), Digits(digits.images[-count:], digits.labels[-count:])


def _pixels(digits: Digits) -> np.ndarray:
    return digits.images[:, None].astype(np.float32) / 255


def _classifier(digits: Digits, out: Path, budget: float, seed: int) -> FeatureNetwork:
    """Return the classifier of an earlier command with the same folder, or train it."""
    path = out / results.FEATURES
    if path.is_file():
        return FeatureNetwork.load(path)
    start = time.process_time()
    found = train_features(_pixels(digits), labels=digits.labels, seed=seed, budget=budget, log=click.echo)
    click.echo(f"  in {time.process_time() - start:.0f} CPU s")
    out.mkdir(parents=True, exist_ok=True)
    found.save(path)
    return found


def _run(
    name: str, digits: Digits, test: Digits, classifier: FeatureNetwork, seconds: float, count: int, is_quick: bool,
    seed: int, out: Path,
) -> None:  # fmt: skip
    torch.manual_seed(seed)
    images, recipe = torch.from_numpy(_pixels(digits)), RECIPES[name]
    recipe = quick(recipe) if is_quick else recipe
    method = METHODS[name](recipe, (float(images.mean()), float(images.std())))
    click.echo(f"{name}: {' + '.join(f'{n:,}' for n in method.parameters)} parameters, {seconds:.0f} CPU s")
    training = train(method, images, torch.from_numpy(digits.labels), seconds, click.echo)
    network: Any = method.averaged.module
    save(network, out / f"{name}.safetensors")
    asked = torch.arange(count) % CLASSES
    start = time.process_time()
    samples = method.sample(asked, seed + 1).numpy()
    sampling = time.process_time() - start
    found: dict[str, Any] = {"method": name, "parameters": method.parameters, "seed": seed, "recipe": asdict(recipe)}
    found |= {"training": asdict(training), "sampling_cpu_seconds": sampling, "hash": classifier.hash}
    found["measures"] = measure(samples, _some(test, count, seed), classifier)
    found["read_as_asked"] = conditional_accuracy(samples, asked.numpy(), classifier) if method.conditional else None
    found["authentic"] = authentic(samples[:AUTHENTIC_SAMPLES], images.numpy())
    results.save(found | {"machine": dict(machine(torch.device("cpu")))}, out)
    results.sheet(samples, out / f"{name}.png")


def _some(digits: Digits, count: int, seed: int) -> np.ndarray:
    """Return randomly chosen digits."""
    return _pixels(digits)[np.random.default_rng(seed).permutation(len(digits))[:count]]


def _report(digits: Digits, test: Digits, classifier: FeatureNetwork, count: int, seed: int, out: Path) -> None:
    reference: dict[str, Any] = describe(classifier, _pixels(test), test.labels)
    reference["measures"] = measure(_some(digits, count, seed + 1), _some(test, count, seed), classifier)
    reference["authentic"] = authentic(_some(test, AUTHENTIC_SAMPLES, seed), _pixels(digits))
    records = results.load(out)
    Console(width=200).print(results.table(records, reference))
    click.echo(f"features: {classifier.hash}, {100 * reference['test_accuracy']:.2f} % of the test digits read")
    write_bytes(out / results.TABLE, results.markdown(records, reference).encode())
    click.echo(f"wrote {results.save_numbers(records, reference, out / results.NUMBERS)}")


if __name__ == "__main__":
    sys.exit(main())
