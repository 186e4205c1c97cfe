"""Commands on a run with one damaged text file end in success or in one line, in bounded time and memory."""

from __future__ import annotations

import io
import random
import resource
import shutil
import signal
import sys
from contextlib import redirect_stderr, redirect_stdout

import pytest
from mutations import mutate
from tiny import classify_folder, segment_folder, trained

from omniconv.cli import main

SECONDS = 20
"""Longest time of a command; the slowest one takes 0.5 s on one idle core."""
COMMANDS = {
    "config.yaml": ("report", "resume", "train"),
    "data.json": ("report", "resume", "evaluate"),
    "environment.json": ("report",),
    "evaluation.json": ("report",),
    "metrics.csv": ("report", "resume"),
    "classes.txt": ("train", "measure"),
}
"""Commands that read each file."""


class Hang(BaseException):
    """A command that runs too long; no handler of exceptions catches it."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Finished runs of each task, on a plane and a sphere, with the names of their data folders."""
    root = tmp_path_factory.mktemp("damaged")
    boxes = segment_folder(root / "boxes", classes="sea land")
    lights = classify_folder(root / "lights")
    (lights / "classes.txt").write_text("bright\ndark\n")
    trained(root / "flat", "segment", boxes, epochs=2)
    trained(root / "sorter", "classify", lights, epochs=2)
    trained(root / "round", "segment", boxes, epochs=1, surface="icosphere:2")
    return {"flat": boxes, "sorter": lights, "round": boxes}, root


def words(command, run, data, out):
    """Return the words of a command."""
    return {
        "report": ["report", run],
        "resume": ["train", "--resume", run],
        "evaluate": ["evaluate", run],
        "measure": ["evaluate", run, data],
        "train": ["train", "--config", run / "config.yaml", "--out", out],
    }[command]


@pytest.fixture
def no_training(monkeypatch):
    """Skip the training itself: a damaged config.yaml may ask for a million epochs."""
    monkeypatch.setattr("omniconv.runs.start.fit", lambda *arguments, **options: None)


def check(arguments):
    """Run a command, and return what is wrong with its end, or ''."""
    errors = io.StringIO()

    def stop(*_):
        raise Hang

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(errors):
            code = main([str(word) for word in arguments])
    except Hang:
        return f"takes more than {SECONDS} s"
    except Exception as error:
        return f"ends in {type(error).__name__}: {error}"
    finally:
        signal.alarm(0)
    if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before > 2**20:  # KiB: 1 GiB
        return "takes more than 1 GiB"
    lines = errors.getvalue().splitlines()
    if code == 0:
        return "" if not lines else f"prints {lines[0]}"
    if code != 2 or len(lines) != 1 or not lines[0].startswith("omniconv: ") or not lines[0].isprintable():
        return f"ends with {code} and {errors.getvalue()!r}"
    return ""


def damage_and_run(folders, root, out, seeds):
    """Damage one text file for each seed, run a command that reads it, and yield the seed, both, and what is wrong."""
    files = {path: path.read_bytes() for name in folders for path in (root / name).rglob("*") if path.is_file()}
    files |= {data / "classes.txt": (data / "classes.txt").read_bytes() for data in folders.values()}
    targets = sorted(path for path in files if path.name in COMMANDS)
    for seed in seeds:
        dice = random.Random(seed)
        target = dice.choice(targets)
        command = dice.choice(COMMANDS[target.name])
        run = (
            target.parent if target.parent.name in folders else root / ("flat" if "boxes" in target.parts else "sorter")
        )
        target.write_bytes(mutate(target, files[target], dice))
        yield seed, command, target, check(words(command, run, folders[run.name], out))
        for path, content in files.items():
            if not path.is_file() or path.read_bytes() != content:
                path.write_bytes(content)
        shutil.rmtree(out, ignore_errors=True)


@pytest.mark.skipif(sys.platform != "linux", reason="needs alarms, and the memory in KiB")
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("count", [40, pytest.param(5000, marks=pytest.mark.slow)])
def test_damaged_text_files(runs, no_training, tmp_path, count):
    ends = damage_and_run(*runs, tmp_path / "out", range(count))
    problems = [f"seed {seed}: {command} with {target} {end}" for seed, command, target, end in ends if end]
    assert not problems, "\n".join(problems)


def test_report_of_incomplete_settings(here, capsys, segment_run):
    shutil.copytree(segment_run.path, here / "run")
    config = here / "run/config.yaml"
    config.write_text("\n".join(line for line in config.read_text().split("\n") if not line.startswith("surface:")))
    assert main(["report", "run"]) == 2
    line = "omniconv: run/config.yaml: is incomplete: it lacks surface; restore it, or start a new run\n"
    assert capsys.readouterr().err == line
