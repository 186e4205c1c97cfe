"""Command line: commands parse their arguments, then import and call the packages that do the work."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from omniconv import __version__
from omniconv.checks import did_you_mean
from omniconv.commands.audit import audit
from omniconv.commands.explain import explain
from omniconv.commands.export import export
from omniconv.commands.terminal import PATH, is_terminal, log, print_table, progress_bar
from omniconv.errors import InputError, printable
from omniconv.tasks import TASKS
from omniconv.training.settings import FORMER_NAMES, RunConfig, option

if TYPE_CHECKING:
    from omniconv.inference.predictor import Predictor

INTERRUPTED = 130
OUT_OF_MEMORY = "out of memory: use a smaller --size, --batch-size or --width"


class NearestGroup(click.Group):
    """Command group that suggests the most similar command for a misspelt one."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command, or raise an error that names the most similar one."""
        if args and self.get_command(ctx, args[0]) is None:
            names = self.list_commands(ctx)
            cure = did_you_mean(args[0], names, f"the commands are {', '.join(names)}")
            raise click.UsageError(f"No such command '{args[0]}': {cure}", ctx)
        return super().resolve_command(ctx, args)


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit code: 0 success, 2 wrong input, 130 interrupted.

    Args:
        arguments: words after ``omniconv``; by default those of the process.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names may have letters that the terminal's encoding lacks
            stream.reconfigure(errors="backslashreplace")
    try:
        outcome = commands(arguments, prog_name="omniconv", standalone_mode=False)
        return outcome if isinstance(outcome, int) else 0
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        help_of = context.command_path if context else "omniconv"
        click.echo(f"omniconv: {printable(error.format_message())} (see {help_of} --help)", err=True)
    except InputError as error:
        click.echo(f"omniconv: {printable(error)}", err=True)
    except (KeyboardInterrupt, click.Abort):
        click.echo("omniconv: interrupted", err=True)
        return INTERRUPTED
    except BrokenPipeError:  # for example of `omniconv --help | head -1`
        return 0
    except (OSError, MemoryError) as error:
        click.echo(f"omniconv: {printable(' '.join(str(error).split())) or OUT_OF_MEMORY}", err=True)
    except RuntimeError as error:  # torch has no exception class for lack of CPU memory
        if "memory" not in str(error):
            raise
        click.echo(f"omniconv: {OUT_OF_MEMORY}", err=True)
    return 2


@click.group(cls=NearestGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="omniconv")
def commands() -> None:
    """Train and run convolutional networks on flat images and on images on a sphere.

    From a folder of images to a trained network, its measured quality, and predictions as images:

    \b
        omniconv train segment DATA --surface icosphere:5
        omniconv predict runs/DATA IMAGES --out OUT
    """


def _setting_options(*names: str, **defaults: Any) -> Callable[[Callable], Callable]:
    """Return a decorator that adds options for settings of a run; ``defaults`` are shown instead of the usual ones."""

    def add(command: Callable) -> Callable:
        for name in reversed(names):
            command = _setting_option(name, defaults.get(name, RunConfig.model_fields[name].default))(command)
        return command

    return add


def _setting_option(name: str, default: Any) -> Callable[[Callable], Callable]:
    setting = RunConfig.model_fields[name]
    flags = [option(name), *(option(former) for former, new in FORMER_NAMES.items() if new == name)]
    if setting.annotation is bool:
        return click.option(f"{flags[0]}/--no-{flags[0][2:]}", name, default=None, help=setting.description)
    text = f"{setting.description}" + (f"  [default: {default}]" if default not in (None, "", ()) else "")
    option_type = setting.annotation if setting.annotation in (int, float) else str
    return click.option(*flags, name, type=option_type, default=None, help=text)


NETWORK = ("surface", "model", "width", "depth", "down", "up")
PREDICTIONS = "; ".join(f"{name}: {entry.predictions}" for name, entry in TASKS.items())
TRAINING = tuple(name for name in RunConfig.model_fields if name not in ("task", "data"))


@commands.command(
    help=f"""Train a network on a folder of images.

    TASK is {RunConfig.model_fields["task"].description}. DATA may be split into train/, val/ and test/, and classes.txt
    may name the classes, one per line. TASK and DATA are required unless --resume or --config gives them."""
)
@click.argument("task", required=False)
@click.argument("data", required=False)
@_setting_options(*TRAINING)
@click.option("--config", type=PATH, help="YAML file of settings; options on the command line override it")
@click.option(
    "--resume", type=PATH, metavar="RUN",
    help="continue an interrupted run (only --epochs, --device, --workers and --patience may change)",
)  # fmt: skip
@click.option(
    "--data",
    "data_option",
    metavar="DATA",
    help="as DATA; with --resume the new place of the run's data, if it was moved",
)
@click.option("--name", help="name of the run's folder in runs/; by default that of DATA")
@click.option("--out", help="folder of the run, instead of runs/NAME")
def train(
    config: Path | None,
    resume: Path | None,
    data_option: str | None,
    name: str | None,
    out: str | None,
    **settings: Any,
) -> None:
    """Train a network on a folder of images."""
    from omniconv.runs.resume import resume_run
    from omniconv.runs.start import start_run

    given = _given(**settings)
    if data_option is not None and "data" in given:
        raise click.UsageError("DATA is given twice: once as an argument, once by --data.")
    if resume is not None and "data" in given:
        raise click.UsageError("--resume takes its data from the run; if it was moved, give its new place by --data.")
    given |= _given(data=data_option)
    if resume is None:
        run = start_run(given, log, is_terminal(), config_file=config, name=name, out=out)
    elif config or name or out:
        raise click.UsageError("--resume takes its settings from the run: leave out --config, --name and --out.")
    else:
        run = resume_run(resume, given, log, is_terminal())
    log(run.path)


@commands.command()
@click.argument("run", type=PATH)
@click.argument("data", type=PATH, required=False)
@click.option("--split", help="train, val or test; by default test, else val, else train or, unsplit, all images")
@click.option("--json", "json_file", type=PATH, help="also write the measures to this JSON file")
@_setting_options("device")
def evaluate(run: Path, data: Path | None, split: str | None, json_file: Path | None, device: str | None) -> None:
    """Measure the quality of the network of RUN on the images of DATA, at their own size.

    Without DATA: the run's validation images; the result is optimistic, because the best epoch was selected on them.
    With DATA, RUN may also be a model.safetensors. Images that RUN was trained on are recognised by their content: the
    others are then also measured alone, as "unseen" in the JSON file.
    """
    from omniconv.inference.evaluation import describe_overlap, find_samples, trained_images, was_balanced
    from omniconv.inference.evaluation import evaluate as run_evaluation
    from omniconv.run_folder import check_json, write_json

    if json_file:
        check_json(json_file)
    predictor = _predictor(run, device)
    folder = find_samples(predictor, run, data, split)
    trained_on = trained_images(run, [sample.image for sample in folder.samples])
    with progress_bar(len(folder.samples), "evaluate") as step:
        measures = run_evaluation(predictor, folder, step, trained_on)
    if json_file:
        write_json(json_file, measures)
    log(f"{measures['images']} images of {folder.root}")
    overlap, unseen = describe_overlap(measures), measures | (measures.get("unseen") or {})
    if overlap:
        log(overlap)
    print_table(*predictor.task.quality_table(measures), "")
    if unseen["images"] != measures["images"]:
        log(f"{unseen['images']} images that were not trained on")
        print_table(*predictor.task.quality_table(unseen), "")
    for note in predictor.task.quality_notes(unseen, was_balanced(run)):
        log(note)


@commands.command(
    help=f"""Predict IMAGES (files or folders) with the network of RUN.

    RUN is the folder of a run or its model.safetensors. The files written depend on the task of the run:
    {PREDICTIONS}. Files of single images keep the subfolders of the images."""
)
@click.argument("run", type=PATH)
@click.argument("images", type=PATH, nargs=-1, required=True)
@click.option("--out", type=PATH, required=True, help="folder to write to")
@click.option("--overwrite", is_flag=True, help="replace existing files")
@_setting_options("device")
def predict(run: Path, images: tuple[Path, ...], out: Path, overwrite: bool, device: str | None) -> None:
    """Predict images with the network of a run."""
    from omniconv.data.layouts.image_list import scan_images
    from omniconv.inference.write_predictions import check_out, write_predictions

    predictor = _predictor(run, device)
    listed = scan_images(images)
    check_out(predictor.task, out, listed, images, overwrite)
    with progress_bar(len(listed), "predict") as step:
        write_predictions(predictor, listed, out, step)
    log(f"{len(listed)} images predicted into {out}")


@commands.command()
@click.argument("run", type=PATH)
@_setting_options("device")
def report(run: Path, device: str | None) -> None:
    """Rewrite RUN's report.html."""
    from omniconv.run_folder import find_run
    from omniconv.runs.page import write_report

    predictor = _predictor(run, device)
    log(write_report(find_run(run), predictor))


@commands.command(
    help=f"""Show the layers of a network: output size, receptive field, parameters, multiply-adds.

    WHAT is a task ({" or ".join(TASKS)}, with options of train), or, without options, the folder of a run or its
    model.safetensors."""
)
@click.argument("what")
@click.option("--classes", type=click.IntRange(1), default=2, show_default=True, help="output channels of the network")
@click.option("--size", help="N or HxW: input size; by default 256 (256x512 on a sphere); refused for a run")
@_setting_options(*NETWORK)
def summary(what: str, classes: int, **settings: Any) -> None:
    """Show the layers of a network."""
    from omniconv.data.preprocessing import IMAGE_CHANNELS, default_size
    from omniconv.models import build
    from omniconv.summaries import summary as layer_table
    from omniconv.surfaces import surface

    given = _given(**settings)
    if what in TASKS:
        config = RunConfig(task=what, **given)
        config.check_model()
        network = build(config.network, config.network_arguments(IMAGE_CHANNELS, classes))
        size = config.size or default_size(surface(config.surface), [])
    elif not Path(what).exists():
        cure = did_you_mean(what, TASKS, "check the path for a typing error")
        raise InputError("WHAT", what, f"must be one of {', '.join(TASKS)} or the folder of a run", cure)
    elif given:
        name, value = next(iter(given.items()))
        raise InputError(name, value, "cannot be changed for the network of a run", "leave it out")
    else:
        predictor = _predictor(Path(what), "cpu")
        network, size = predictor.model, predictor.preprocessing.size
    grid = size if network.surface.any_size else ()
    click.echo(layer_table(network, (network.arguments["in_channels"], *grid)))


@commands.command()
@click.option("--out", type=PATH, default=Path("demo"), show_default=True, help="folder to write to")
@_setting_options("epochs", "seed", "device", epochs=8)
def demo(out: Path, epochs: int | None, seed: int | None, device: str | None) -> None:
    """Train a network for land and sea on a map of the Earth, on three surfaces, and compare them.

    Needs the extra omniconv[demo]. Takes a few minutes on two cores and writes report.html.
    """
    from omniconv.demo.demonstration import run_demo

    page = run_demo(out, _given(epochs=epochs, seed=seed, device=device), log, is_terminal(), print_table)
    log(page)


for command in (audit, explain, export):
    commands.add_command(command)


def _given(**options: Any) -> dict[str, Any]:
    """Return the options that were given."""
    return {name: value for name, value in options.items() if value is not None}


def _predictor(run: Path, device: str | None) -> Predictor:
    from omniconv.inference.predictor import Predictor

    return Predictor.open(run, device or "auto")


if __name__ == "__main__":
    sys.exit(main())
