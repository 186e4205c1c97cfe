"""Kill training runs, or let their writes fail, and compare what resumes with a run that nobody disturbed.

    python tests/runs/kills.py random 1000     kills at random times, of starts and of resumptions
    python tests/runs/kills.py stops 60        as random, half of them by SIGTERM, of the scenarios with more settings
    python tests/runs/kills.py steps           a kill at every writing step
    python tests/runs/kills.py full            a full disk from every writing step on

torch is imported once; each command runs in a fork of this process. Prints a summary as JSON; the exit code is 1 if a
run was lost, differs from the undisturbed one, or left anything behind.
"""

from __future__ import annotations

import argparse
import builtins
import errno
import io
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
torch.set_num_threads(1)

# What a training imports late, so that each fork has it already.
import lightning.pytorch.loops  # noqa: E402, F401
import torch.utils.tensorboard  # noqa: E402
from safetensors import safe_open  # noqa: E402
from tiny import SMALL, classify_folder, rows_without_seconds, segment_folder, words  # noqa: E402

import omniconv.inference.evaluation  # noqa: E402
import omniconv.runs.page  # noqa: E402
import omniconv.runs.resume  # noqa: E402
import omniconv.runs.start  # noqa: E402
from omniconv.cli import INTERRUPTED, main  # noqa: E402
from omniconv.locks import LOCK, TEMPORARY  # noqa: E402
from omniconv.models import UNet  # noqa: E402
from omniconv.models import save as save_network  # noqa: E402
from omniconv.training.checkpoints import AtomicCheckpointIO  # noqa: E402

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
SCENARIOS = {
    "segment": {"epochs": 3, "batch_size": 2, "augment": "flip,colour"},
    "classify": {"epochs": 6, "patience": 2, "learning_rate": 0.03, "repeat": 2},
    "nothing held out": {"epochs": 2, "validation": 0.0},
    "segment from weights": {"epochs": 2, "freeze": 1},
    "generate edm": {"epochs": 2, "width": 4, "depth": 1, "ema": 0.01, "sample_every": 1},
    "generate gan": {"epochs": 2, "width": 4, "depth": 1, "ema": 0.01, "sample_every": 1},
    "inpaint gated": {"epochs": 2, "width": 2, "depth": 1, "ema": 0.01, "sample_every": 1},
}
STOPPED = {
    "segment, ema, 2 workers": {"epochs": 5, "batch_size": 2, "augment": "flip,colour", "ema": 0.02, "workers": 2},
    "segment, accumulate, clip": {
        "epochs": 5, "batch_size": 1, "width": 4, "accumulate": 3, "clip": 0.5, "schedule": "onecycle", "size": "16x32",
        "repeat": 2,
    },
    "classify, patience, 2 workers": {
        "epochs": 12, "patience": 3, "learning_rate": 0.03, "repeat": 2, "workers": 2, "schedule": "constant",
    },
    "classify, sgd, ema": {"epochs": 6, "ema": 0.05, "optimizer": "sgd", "accumulate": 2, "repeat": 4},
    "generate edm": {"epochs": 3, "width": 4, "depth": 1, "ema": 0.01, "sample_every": 1, "accumulate": 2},
    "inpaint gated": {"epochs": 3, "width": 2, "depth": 1, "ema": 0.01, "sample_every": 1, "clip": 1},
}  # fmt: skip
"""Scenarios of ``stops``."""


class Steps:
    """Counter of the writing steps of this process; calls ``disturb`` at each of them with its number."""

    def __init__(self, disturb: Callable[[int], None]) -> None:
        self.count, self.disturb = 0, disturb
        for name in ("replace", "rename", "mkdir", "fsync", "unlink", "rmdir"):
            setattr(os, name, self.wrap(getattr(os, name), lambda *arguments: True))
        os.open = self.wrap(os.open, lambda path, flags, *rest: flags & WRITING)
        os.fdopen = self.wrap(os.fdopen, lambda handle, mode="r", *rest: mode != "rb")
        builtins.open = io.open = self.wrap(io.open, lambda file, mode="r", *rest: set(mode) & set("wax+"))

    def wrap(self, call: Callable, is_step: Callable) -> Callable:
        """Return the function with a disturbance before it."""

        def wrapped(*arguments: object, **options: object) -> object:
            try:
                writes = is_step(*arguments)
            except TypeError:
                writes = is_step(*arguments, *options.values())
            if writes and str(arguments[0]) != os.devnull:
                self.count += 1
                self.disturb(self.count)
            return call(*arguments, **options)

        return wrapped


def fork(arguments: list[str], output: Path, disturb: Callable[[int], None] | None = None) -> int:
    """Start a command in a fork; return its process id."""
    child = os.fork()
    if child:
        return child
    code = 99
    try:
        handle = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        steps = Steps(disturb) if disturb else None
        code = main(arguments)
        sys.stdout.flush()
        sys.stderr.flush()
        if steps:
            os.write(handle, f"\nSTEPS {steps.count}\n".encode())
    except BaseException:
        import traceback

        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(code)


def run(arguments: list[str], output: Path, disturb: Callable[[int], None] | None = None) -> int:
    """Run a command in a fork to its end; return its exit code, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(fork(arguments, output, disturb), 0)[1])


def state(folder: Path) -> dict[str, object]:
    """Return what must be equal in two runs: all state of the training, the files, and no leftovers."""
    checkpoint = AtomicCheckpointIO().load_checkpoint(folder / "checkpoints/last.ckpt")
    callbacks = checkpoint["callbacks"]
    for row in callbacks["MetricsFile"]["rows"]:
        del row["seconds"]
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.parent.name != "tensorboard")
    evaluation = folder / "evaluation.json"
    return {
        "files": files,
        "callbacks": callbacks,
        "metrics": rows_without_seconds(folder / "metrics.csv"),
        "model": model(folder / "model.safetensors"),
        "evaluation": evaluation.read_text() if evaluation.is_file() else None,
        "pictures": [path.read_bytes() for path in sorted((folder / "samples").glob("*"))],
        "data": (folder / "data.json").read_text(),
        "config": (folder / "config.yaml").read_text(),
        **{
            part: checkpoint[part]
            for part in ("epoch", "global_step", "state_dict", "optimizer_states", "lr_schedulers", "images_seen")
            if part in checkpoint
        },
    }


def model(path: Path) -> dict[str, object]:
    """Return the tensors and the metadata of a network; safetensors writes the metadata in any order."""
    with safe_open(path, framework="pt") as file:
        return {"": file.metadata(), **{name: file.get_tensor(name) for name in file.keys()}}  # noqa: SIM118


def is_equal(first: object, second: object) -> bool:
    """Compare nested containers of tensors, bit by bit."""
    if isinstance(first, torch.Tensor):
        return isinstance(second, torch.Tensor) and torch.equal(first, second)
    if isinstance(first, dict):
        return isinstance(second, dict) and first.keys() == second.keys() and all(
            is_equal(first[key], second[key]) for key in first
        )  # fmt: skip
    if isinstance(first, (list, tuple)):
        return len(first) == len(second) and all(map(is_equal, first, second))
    return first == second


class Campaign:
    """Runs of one scenario in a folder of their own, compared with an undisturbed one."""

    def __init__(self, root: Path, name: str) -> None:
        task, _, method = name.partition(" ")
        task = task.rstrip(",")
        settings, folder = (SCENARIOS | STOPPED)[name], segment_folder
        if task in ("generate", "inpaint"):
            settings = settings | {"method": method}
        elif task == "classify":
            folder = classify_folder
        else:
            task = "segment"
        self.root = root / name.replace(", ", "-").replace(" ", "-")
        self.root.mkdir()
        self.data = folder(self.root / "data")
        if "freeze" in settings:
            weights = self.root / "weights.safetensors"
            save_network(UNet(3, 2, width=SMALL["width"], depth=SMALL["depth"]), weights)
            settings = settings | {"weights": weights}
        self.start = [
            "train",
            task,
            str(self.data / "images" if "method" in settings else self.data),
            *words(**settings),
        ]
        self.output = self.root / "output.txt"
        self.problems: list[str] = []
        self.begun_again = 0
        started = time.monotonic()
        assert run([*self.start, "--out", str(self.root / "whole")], self.output) == 0, self.output.read_text()
        self.seconds = time.monotonic() - started
        self.whole = state(self.root / "whole")

    def count_steps(self) -> int:
        """Return the number of writing steps of an undisturbed run."""
        assert run([*self.start, "--out", str(self.root / "count")], self.output, lambda number: None) == 0
        return int(self.output.read_text().rsplit("STEPS ", 1)[1])

    def folder(self) -> Path:
        """Return the folder of the next run."""
        shutil.rmtree(self.root / "run", ignore_errors=True)
        return self.root / "run"

    def finish(self, folder: Path, what: str) -> None:
        """Resume, or start with the same command if there is nothing to resume, and compare."""
        code = run(["train", "--resume", str(folder)], self.output)
        if code == 2 and any(
            text in self.output.read_text() for text in ("does not exist", "start it again", "is not a run")
        ):
            self.begun_again += 1
            code = run([*self.start, "--out", str(folder)], self.output)
        if code != 0:
            self.problems.append(f"{what}: exit code {code}: {self.output.read_text()[-1500:]}")
            return
        resumed = state(folder)
        differing = [part for part in self.whole if not is_equal(self.whole[part], resumed[part])]
        if differing:
            details = resumed["files"] if "files" in differing else ""
            self.problems.append(f"{what}: differs in {', '.join(differing)} {details}")

    def stop_at_random(self, generator: random.Random, signals: Sequence[signal.Signals]) -> int:
        """Stop a run by one of the signals up to three times, then finish it; return the number of stops."""
        folder, kills = self.folder(), 0
        stopped = {-int(number) for number in signals} | ({INTERRUPTED} if signal.SIGTERM in signals else set())
        while True:
            known = (folder / "config.yaml").is_file()
            command = ["train", "--resume", str(folder)] if known else [*self.start, "--out", str(folder)]
            child = fork(command, self.output)
            time.sleep(generator.uniform(0, 1.2 * self.seconds))
            os.kill(child, generator.choice(signals))
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            kills += code in stopped
            if code not in {0, *stopped}:
                self.problems.append(f"stopped run: exit code {code}: {self.output.read_text()[-1500:]}")
            if kills >= 3 or generator.random() < 0.4:
                break
        self.finish(folder, f"kill {kills}")
        return kills

    def kill_at(self, step: int) -> None:
        """Kill a run before a writing step, and finish it."""
        folder = self.folder()
        code = run([*self.start, "--out", str(folder)], self.output, lambda number: number == step and os._exit(77))
        if code != 77:
            self.problems.append(f"step {step}: exit code {code}: {self.output.read_text()[-1500:]}")
        self.finish(folder, f"step {step}")

    def fill_disk_at(self, step: int, once: bool) -> None:
        """Let the writing steps fail from one on, or this one only, and finish the run."""

        def fail(number: int) -> None:
            if number == step or (number > step and not once):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        folder, what = self.folder(), f"{'one failure' if once else 'full disk'} at step {step}"
        code = run([*self.start, "--out", str(folder)], self.output, fail)
        text = self.output.read_text()
        lines = [line for line in text.splitlines() if line.startswith("omniconv: ")]
        one_line = len(lines) == 1 and "no space left on device" in lines[0] and "; " in lines[0]
        if (code == 2 and not one_line) or code not in (0, 2) or "Traceback" in text:
            self.problems.append(f"{what}: exit code {code}: {text[-1500:]}")
        if code == 0 and not once:
            self.problems.append(f"{what}: was not noticed")
        self.finish(folder, what)
        if (
            once
            and code == 0
            and any(TEMPORARY.fullmatch(path.name) or path.name == LOCK for path in folder.rglob("*"))
        ):
            self.problems.append(f"{what}: leftovers")


def parse() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=("random", "stops", "steps", "full"))
    parser.add_argument("count", type=int, nargs="?", default=0, help="number of kills or steps; 0: every step")
    parser.add_argument("--scenario", choices=SCENARIOS | STOPPED, action="append")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="longest time for each scenario")
    return parser.parse_args()


def campaign(options: argparse.Namespace, root: Path) -> dict[str, object]:
    """Run a campaign in every scenario; return its summary."""
    # Drawing the curves takes half of the time of a small run, and writes nothing.
    omniconv.runs.page.curves = lambda *arguments: "<svg></svg>"
    names = options.scenario or (STOPPED if options.kind == "stops" else SCENARIOS)
    campaigns = [Campaign(root, name) for name in names]
    generator = random.Random(options.seed)
    done = dict.fromkeys(names, 0)
    for name, one in zip(done, campaigns, strict=True):
        end = time.monotonic() + 60 * options.minutes
        if options.kind in ("random", "stops"):
            signals = (signal.SIGKILL,) if options.kind == "random" else (signal.SIGKILL, signal.SIGTERM)
            while done[name] < options.count / len(campaigns) and time.monotonic() < end:
                done[name] += one.stop_at_random(generator, signals)
            continue
        steps = one.count_steps()
        chosen = (
            range(1, steps + 1) if not options.count else sorted(generator.sample(range(1, steps + 1), options.count))
        )
        for step in chosen:
            if time.monotonic() > end:
                break
            if options.kind == "steps":
                one.kill_at(step)
            else:
                one.fill_disk_at(step, once=False)
                one.fill_disk_at(step, once=True)
            done[name] += 1
    problems = [f"{name}: {problem}" for name, one in zip(done, campaigns, strict=True) for problem in one.problems]
    return {"kind": options.kind, "done": done, "begun again": sum(one.begun_again for one in campaigns),
            "problems": problems}  # fmt: skip


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        summary = campaign(parse(), Path(place))
    sys.stdout.write(json.dumps(summary, indent=2) + "\n")
    sys.exit(bool(summary["problems"]))
