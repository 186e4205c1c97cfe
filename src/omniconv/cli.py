"""Command line: commands parse their arguments, then import and call the packages that do the work."""

from __future__ import annotations

import errno
import io
import sys
import warnings
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from omniconv import __version__
from omniconv.checks import check_choice, did_you_mean
from omniconv.commands.audit import audit
from omniconv.commands.command import TRUST, NearestGroup, TaskCommand, own_network_options, usage_message
from omniconv.commands.convert import convert
from omniconv.commands.explain import explain
from omniconv.commands.export import export
from omniconv.commands.sample import sample
from omniconv.commands.terminal import PATH, is_terminal, log, log_facts, print_table, progress_bar
from omniconv.errors import FileError, InputError, pluralize, printable
from omniconv.tasks import TASKS
from omniconv.training.setting_values import parse_size
from omniconv.training.settings import FORMER_NAMES, NETWORK_SETTINGS, RunConfig, option

if TYPE_CHECKING:
    from omniconv.inference.predictor import Predictor
    from omniconv.processes import ProcessGroup
    from omniconv.tasks.base import Task

INTERRUPTED = 130
OUT_OF_MEMORY = "out of memory: use a smaller --size, --batch-size or --width"


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit code: 0 success, 2 wrong input, 130 interrupted.

    Args:
        arguments: words after ``omniconv``; by default those of the process.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names may have letters that the terminal's encoding lacks
            stream.reconfigure(errors="backslashreplace")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "panorama of")  # of rows on the poles: said in a line by `image_notes`
            outcome = commands(arguments, prog_name="omniconv", standalone_mode=False)
        return outcome if isinstance(outcome, int) else 0
    except click.ClickException as error:
        click.echo(f"omniconv: {printable(usage_message(error))}", err=True)
    except InputError as error:
        click.echo(f"omniconv: {printable(error)}", err=True)
    except (KeyboardInterrupt, click.Abort) as stopped:
        cause = stopped.__cause__ or stopped  # click has ended the line of ^C, and raises Abort from KeyboardInterrupt
        click.echo("; ".join(["omniconv: interrupted", *map(printable, cause.args)]), err=True)
        return INTERRUPTED
    except BrokenPipeError:  # for example of `omniconv --help | head -1`
        return 0
    except OSError as error:
        click.echo(f"omniconv: {FileError.from_os_error(*_os_error(error))}", err=True)
    except MemoryError as error:
        click.echo(f"omniconv: {printable(' '.join(str(error).split())) or OUT_OF_MEMORY}", err=True)
    except RuntimeError as error:  # torch has no exception class for lack of CPU memory
        if "memory" not in str(error):
            raise
        click.echo(f"omniconv: {OUT_OF_MEMORY}", err=True)
    return 2


@click.group(
    cls=NearestGroup, invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)  # fmt: skip
@click.version_option(__version__, prog_name="omniconv")
@click.pass_context
def commands(context: click.Context) -> None:
    """Train and run convolutional networks on flat images and on images on a sphere.

    From a folder of images to a trained network, its measured quality, and predictions as images:

    \b
        omniconv train segment DATA --surface icosphere:5
        omniconv predict runs/DATA IMAGES --out OUT
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


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
    # With a former name, click would silently take the last of two values.
    once = {"multiple": True, "callback": _only_one} if len(flags) > 1 else {}
    if setting.annotation is bool:
        return click.option(f"{flags[0]}/--no-{flags[0][2:]}", name, default=None, help=setting.description)
    default = ",".join(map(str, default)) if isinstance(default, tuple) else default
    text = f"{setting.description}" + (f"  [default: {default}]" if default not in (None, "", ()) else "")
    option_type = {int: int, int | None: int, float: float}.get(setting.annotation, str)  # type: ignore[arg-type]
    return click.option(*flags, name, type=option_type, default=None, help=text, **once)  # type: ignore[arg-type]


def _with_launcher(command: Callable) -> Callable:
    """Return a command that gets the processes that a launcher started, of which the first one runs it."""

    @wraps(command)
    def run(device: str | None, **options: Any) -> None:
        from omniconv.processes import join  # late: torch

        with join(device or "auto") as group:
            if group is not None and group.place.rank > 0:
                group.serve()
            else:
                command(device=device, group=group, **options)

    return run


def _only_one(context: click.Context, param: click.Parameter, values: tuple[Any, ...]) -> Any:
    """Return the value of an option with two names, or ``None``."""
    if len(values) > 1:
        rule = f"is given {len(values)} times ({' and '.join(param.opts)} are the same)"
        raise InputError(max(param.opts, key=len), values, rule, "keep one")
    return values[0] if values else None


NETWORK = ("method", "model", *NETWORK_SETTINGS)
PREDICTIONS = "; ".join(f"{name}: {entry.predictions}" for name, entry in TASKS.items())
TTA = (
    "test-time augmentation: average the probabilities for mirrored and turned copies of each image, on a sphere "
    "turned about the vertical axis; takes 8 times as long, and is worse where classes depend on the orientation"
)
NETWORK_DEFAULTS = {"width": "16; of a ResNet 64"}
"""Defaults in help texts that the network changes."""
TRAINING = tuple(name for name in RunConfig.model_fields if name not in ("task", "data"))


@commands.command(
    cls=TaskCommand,
    help=f"""Train a network on a folder of images.

    TASK is {RunConfig.model_fields["task"].description}. DATA may be split into train/, val/ and test/, and classes.txt
    may name the classes, one per line. TASK and DATA are required unless --resume or --config gives them.""",
)
@click.argument("task", required=False)
@click.argument("data", required=False)
@_setting_options(*TRAINING, **NETWORK_DEFAULTS)
@click.option("--config", type=PATH, help="YAML file of settings; options on the command line override it")
@click.option(
    "--resume", type=PATH, metavar="RUN",
    help="continue an interrupted run (only --epochs, --device, --devices, --nodes, --strategy, --workers, --cache and "
    "--patience may change)",
)  # fmt: skip
@click.option(
    "--data",
    "data_option",
    metavar="DATA",
    help="as DATA; with --resume the new place of the run's data, if it was moved",
)
@click.option(
    "--from", "source", type=PATH, metavar="RUN",
    help="train the network of RUN further in a new run, with its settings of the network and its size as defaults",
)  # fmt: skip
@click.option("--trust", is_flag=True, help=TRUST)
@click.option("--name", help="name of the run's folder in runs/; by default that of DATA")
@click.option("--out", help="folder of the run, instead of runs/NAME")
def train(
    config: Path | None,
    resume: Path | None,
    data_option: str | None,
    source: Path | None,
    trust: bool,
    name: str | None,
    out: str | None,
    **settings: Any,
) -> None:
    """Train a network on a folder of images."""
    from omniconv.processes import is_first_process
    from omniconv.runs.resume import resume_run
    from omniconv.runs.start import start_run

    given = _given(**settings)
    if data_option is not None and "data" in given:
        raise click.UsageError("DATA is given twice: once as an argument, once by --data.")
    if resume is not None and "data" in given:
        raise click.UsageError("--resume takes its data from the run; if it was moved, give its new place by --data.")
    given |= _given(data=data_option)
    if resume is None:
        run = start_run(given, log, is_terminal(), config_file=config, name=name, out=out, source=source, trust=trust)
    elif config or name or out or source:
        raise click.UsageError(
            "--resume takes its settings from the run: leave out --config, --from, --name and --out."
        )
    else:
        network = given.pop("network", None)
        run = resume_run(resume, given, log, is_terminal(), network=network, trust=trust)
    if is_first_process():
        log(run.path)


@commands.command()
@click.argument("run")
@click.argument("data", type=PATH, required=False)
@click.option("--split", help="train, val or test; by default test, else val, else train or, unsplit, all images")
@click.option("--json", "json_file", type=PATH, help="also write the measures to this JSON file")
@click.option("--tta", is_flag=True, help=TTA)
@own_network_options
@_setting_options("min_object", "device", "devices", min_object="that of the run")
@_with_launcher
def evaluate(
    run: str,
    data: Path | None,
    split: str | None,
    json_file: Path | None,
    tta: bool,
    network: str | None,
    trust: bool,
    device: str | None,
    devices: int | None,
    group: ProcessGroup | None,
    **settings: Any,
) -> None:
    """Measure the quality of the network of RUN on the images of DATA, at their own size.

    Without DATA: the run's validation images; the result is optimistic, because the best epoch was selected on them.
    With DATA, RUN may also be a model.safetensors. Images that RUN was trained on are recognised by their content: the
    others are then also measured alone, as "unseen" in the JSON file.
    """
    from omniconv.data.image_notes import check_images, describe_differences, describe_skipped
    from omniconv.data.layouts.dataset_folder import SPLITS
    from omniconv.files import check_writable
    from omniconv.inference.evaluation import (
        describe_overlap,
        find_samples,
        prediction_settings,
        trained_images,
        was_balanced,
    )
    from omniconv.inference.evaluation import evaluate as run_evaluation
    from omniconv.inference.sharing import evaluation_works, share_options, share_predictions
    from omniconv.run_folder import check_json, write_json

    if json_file:
        check_json(json_file)
        check_writable(json_file)
    if split is not None:
        check_choice("split", split, SPLITS)
    if split and data is None:
        raise InputError("split", split, "is a part of DATA, which is missing", f"write: omniconv evaluate {run} DATA")
    predictor, balanced = _predictor(run, device, tta, network, trust), was_balanced(Path(run))
    share = share_options(predictor, group, devices, (Path(run), device or "auto", tta, network, trust))
    used = prediction_settings(predictor, _given(**settings))
    folder = find_samples(predictor, Path(run), data, split)
    images = [sample.image for sample in folder.samples]
    log_facts(describe_skipped(folder.skipped) | check_images(images, predictor.preprocessing.surface.spherical))
    if data is not None:
        log_facts(describe_differences(images, predictor.preprocessing))
    trained_on = trained_images(Path(run), images)
    selected_on = trained_images(Path(run), images, held_out=True) if data else None
    works = evaluation_works(predictor, folder, share)
    with progress_bar(len(folder.samples), "evaluate") as step, share_predictions(predictor, works, share) as shared:
        measures = run_evaluation(shared, folder, step, trained_on, used)
    if tta:
        measures["tta"] = True
    if selected_on is not None:
        measures["selected_on"] = len(selected_on)
    if json_file:
        write_json(json_file, measures)
    log(f"{pluralize(measures['images'], 'image')} of {folder.root}")
    overlap, unseen = describe_overlap(measures), measures | (measures.get("unseen") or {})
    if overlap:
        log(overlap)
    _print_measures(predictor.task, measures)
    if unseen["images"] != measures["images"]:
        log(f"{pluralize(unseen['images'], 'image')} not trained on")
        _print_measures(predictor.task, unseen)
    for note in predictor.task.quality_notes(unseen, balanced):
        log(note)


def _print_measures(task: Task, measures: dict[str, Any]) -> None:
    print_table(*task.quality_table(measures), "", task.measures_in_rows)
    for caption, table in task.further_tables(measures):
        log(caption)
        print_table(*table, "")


@commands.command(
    help=f"""Predict IMAGES (files or folders) with the network of RUN.

    RUN is the folder of a run or its model.safetensors. The files written depend on the task of the run:
    {PREDICTIONS}. Files of single images keep the subfolders of the images. Images may have
    up to 179 megapixels; one takes up to 13 bytes of memory a pixel, 19 as WebP, 25 with --masks."""
)
@click.argument("run")
@click.argument("images", type=PATH, nargs=-1, required=True)
@click.option("--out", type=PATH, required=True, help="folder to write to")
@click.option(
    "--masks", type=PATH,
    help="for networks that fill holes: an image that is white in the hole, or a folder with one for each image, of "
    "the same name",
)  # fmt: skip
@click.option("--overwrite", is_flag=True, help="replace existing files")
@click.option("--tta", is_flag=True, help=TTA)
@own_network_options
@_setting_options("min_object", "device", "devices", min_object="that of the run")
@_with_launcher
def predict(
    run: str,
    images: tuple[Path, ...],
    out: Path,
    masks: Path | None,
    overwrite: bool,
    tta: bool,
    network: str | None,
    trust: bool,
    device: str | None,
    devices: int | None,
    group: ProcessGroup | None,
    **settings: Any,
) -> None:
    """Predict images with the network of a run."""
    from omniconv.data.hole_files import check_holes, find_holes
    from omniconv.data.image_notes import check_images, describe_skipped
    from omniconv.data.layouts.image_list import drop_masks, scan_inputs
    from omniconv.files import as_path, check_writable
    from omniconv.inference.evaluation import prediction_settings
    from omniconv.inference.inpainting import check_masks, inpainted_files, write_inpainted
    from omniconv.inference.sharing import prediction_works, share_options, share_predictions
    from omniconv.inference.write_predictions import check_out, write_predictions

    if as_path(out).exists() and not out.is_dir():
        raise FileError(out, "is a file, not a folder", "choose another out=FOLDER")
    if not out.exists():
        check_writable(out)
    predictor = _predictor(run, device, tta, network, trust)
    share = share_options(predictor, group, devices, (Path(run), device or "auto", tta, network, trust))
    check_masks(predictor.task, masks and str(masks))
    used = prediction_settings(predictor, _given(**settings))
    found, skipped = scan_inputs(images)
    listed = drop_masks(found, images)
    if len(listed) < len(found):
        log(f"masks/ beside images/ is not predicted: {pluralize(len(found) - len(listed), 'file')}")
    files, stems = [file for file, _ in listed], [stem for _, stem in listed]
    targets = inpainted_files(out, listed) if masks else predictor.task.prediction_files(out, stems)
    check_out(targets, out, listed, [*images, *([masks] if masks else [])], overwrite)
    spherical = predictor.preprocessing.surface.spherical
    if masks:
        holes, unused = find_holes(files, images, masks)
        log_facts(describe_skipped([*skipped, *unused]) | check_images(files, spherical))
        for image in check_holes(holes):
            log(f"{printable(image)}: its mask is black, so that it is written unchanged")
        works = prediction_works(files, holes)
        with progress_bar(len(listed), "inpaint") as step, share_predictions(predictor, works, share) as shared:
            write_inpainted(shared, listed, holes, out, step, overwrite)
        log(f"{pluralize(len(listed), 'image')} with filled holes written into {out}")
        return
    log_facts(describe_skipped(skipped) | check_images(files, spherical))
    works = prediction_works(files)
    with progress_bar(len(listed), "predict") as step, share_predictions(predictor, works, share) as shared:
        write_predictions(shared, listed, out, step, overwrite, used)
    log(f"{pluralize(len(listed), 'image')} predicted into {out}")


@commands.command()
@click.argument("run")
@own_network_options
@_setting_options("device")
def report(run: str, network: str | None, trust: bool, device: str | None) -> None:
    """Rewrite RUN's report.html."""
    from omniconv.commands.load_model import check_names_run
    from omniconv.run_folder import find_run
    from omniconv.runs.page import report_lock, write_report

    check_names_run(run)
    folder = find_run(run)
    with report_lock(folder):
        log(write_report(folder, _predictor(run, device, network=network, trust=trust)))


@commands.command(
    help=f"""Show the layers of a network: output size, receptive field, parameters, multiply-adds.

    WHAT is a task ({" or ".join(TASKS)}, with options of train), or, without options, the folder of a run, its
    model.safetensors, or your own network, as package.module:callable, with its --size."""
)
@click.argument("what")
@click.option("--classes", type=click.IntRange(1), help="output channels of the network of a task  [default: 2]")
@click.option("--size", help="N or HxW: input size; by default 256 (256x512 on a sphere)")
@click.option("--trust", is_flag=True, help=TRUST)
@_setting_options(*NETWORK, **NETWORK_DEFAULTS)
def summary(what: str, classes: int | None, trust: bool, **settings: Any) -> None:
    """Show the layers of a network."""
    from omniconv.commands.load_model import input_shape, load_model, own_input
    from omniconv.data.classes import numbered_class_names
    from omniconv.data.preprocessing import IMAGE_CHANNELS, default_size
    from omniconv.inference.predictor import Predictor
    from omniconv.models import build
    from omniconv.models.own_code import network_code
    from omniconv.summaries import summary as layer_table
    from omniconv.surfaces import surface
    from omniconv.training.preflight import check_settings

    given = _given(**settings)
    if what in TASKS:
        code = network_code(given["network"]) if "network" in given else None
        config = RunConfig.with_task_defaults(task=what, **given)
        check_settings(config, given, code)
        has_classes = config.task_object.has_classes
        names = numbered_class_names(classes if classes is not None else 2 if has_classes else 0)
        arguments = config.network_arguments(IMAGE_CHANNELS, names) | ({"network": code} if code else {})
        network = build(config.model_name, arguments)
        grid = (config.size or default_size(surface(config.surface), [])) if network.surface.any_size else ()
        click.echo(layer_table(network, (IMAGE_CHANNELS, *grid)))
    elif not Path(what).exists() and ":" not in what:
        cure = did_you_mean(what, TASKS, "check the path for a typing error")
        raise InputError("WHAT", what, f"must be one of {', '.join(TASKS)} or the folder of a run", cure)
    else:
        for name, value in _given(classes=classes, **(settings | {"size": None, "network": None})).items():
            raise InputError(name, value, "cannot be changed for a trained network or one of your own", "leave it out")
        size = parse_size(settings["size"]) if settings["size"] else None
        network = load_model(what, "cpu", trust, settings["network"]).model
        if isinstance(network, Predictor):
            size = size or (network.preprocessing.size if network.preprocessing.surface.any_size else None)
            network = network.model
        with own_input(what):
            click.echo(layer_table(network, input_shape(network, size)))


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


for command in (audit, convert, explain, export, sample):
    commands.add_command(command)


def _os_error(error: OSError) -> tuple[object, str, OSError, str]:
    """Return file, rule, error and cure of an error of the system that no function has described."""
    cure = "give a shorter path" if error.errno == errno.ENAMETOOLONG else "check its path and permissions"
    return error.filename or "file or folder", "cannot be used", error, cure


def _given(**options: Any) -> dict[str, Any]:
    """Return the options that were given."""
    return {name: value for name, value in options.items() if value is not None}


def _predictor(
    run: str, device: str | None, tta: bool = False, network: str | None = None, trust: bool = False
) -> Predictor:
    from omniconv.commands.load_model import open_predictor

    return open_predictor(run, device, tta, network, trust)


if __name__ == "__main__":
    sys.exit(main())
