"""Settings of a training run: one declaration for the checks, ``--help`` and the comments of ``config.yaml``."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from inspect import Parameter, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from omniconv.checks import to_builtin
from omniconv.errors import FileError, InputError
from omniconv.files import atomic_write
from omniconv.models.registry import MODELS, get_model, models_for, own_model_for
from omniconv.tasks import TASKS, get_task
from omniconv.training.setting_errors import Spelling, explain, spell_argument
from omniconv.training.setting_values import (
    Channels,
    Names,
    NamesGiven,
    Number,
    PositiveChannels,
    Size,
    Workers,
    one_of,
    read_path,
    read_precision,
    some_of,
)
from omniconv.training.yaml_settings import read_yaml_settings

if TYPE_CHECKING:
    from omniconv.tasks.base import Task

OPTIMIZERS = ("adamw", "adam", "sgd")
SCHEDULES = ("cosine", "onecycle", "constant")
PRECISIONS = ("32", "bf16", "16")
LOGGERS = ("tensorboard", "csv", "wandb", "mlflow")
CACHES = ("auto", "memory", "disk", "none")
DEVICES = ("auto", "cpu", "cuda")
OWN_POLES = ("flat", "over", "zeros", "replicate", "reflect")
CHANNEL_ORDERS = ("rgb", "bgr", "grey")
OPTION_NAMES = {"channel_order": "channels", "output_key": "output"}
"""Options whose name is another one than that of their setting."""
STRATEGIES = ("auto", "ddp", "fsdp")
FORMER_NAMES = {"rate": "learning_rate", "decay": "weight_decay", "batch": "batch_size"}
"""Settings that had other names in config.yaml; still read there, and still options of the command line."""
LOSS_SETTINGS = ("loss", "label_smoothing")
"""Settings that are arguments of ``Task.criterion``, of tasks that use them."""
ADDED_SETTINGS = (
    "method", "encoder", "layers", "output_stride", "optimizer", "schedule", "accumulate", "clip", "ema",
    "sample_every", *LOSS_SETTINGS, "holes", "oversample", "min_object", "stem_stride", "residual",
    "weights", "encoder_weights", "freeze", "mean", "std", "network", "poles", "channel_order", "output_key", "logger",
    "cache", "compile", "normalization", "devices", "nodes", "strategy",
)  # fmt: skip
"""Settings that the config.yaml of earlier versions lacks; their defaults train as those versions did."""
OWN_SETTINGS = ("network", "poles", "channel_order", "output_key")
"""Settings that are arguments of networks of the user's own."""
NETWORK_SETTINGS = (
    "encoder", "layers", "width", "depth", "down", "up", "stem_stride", "residual", "normalization", "output_stride",
    *OWN_SETTINGS,
    "surface",
)  # fmt: skip
"""Settings that are arguments of models; a model may lack some of them."""
BACKBONE_SETTINGS = ("encoder_weights", "freeze")
"""Settings of models with an encoder, or another part whose weights come from other tasks."""
ENCODER_SETTINGS = ("width", "depth", "down", "stem_stride", "residual", "normalization")
"""Settings that models with an argument ``encoder`` use with encoders that have them."""
TASK_SETTINGS = ("sample_every", *LOSS_SETTINGS, "balance", "oversample", "binary", "holes", "min_object")
"""Settings that only some tasks use, see ``Task.settings``."""


def _hole_styles() -> Iterable[str]:
    from omniconv.data.hole_masks import HOLES  # late: NumPy, which `omniconv --help` does not need

    return HOLES


def _encoder_names() -> Iterable[str]:
    from omniconv.models.encoders.registry import ENCODERS, TIMM_PREFIX  # late: torch

    return (*ENCODERS, f"{TIMM_PREFIX}NAME")


def _normalizations() -> Iterable[str]:
    from omniconv.nn.norm.normalization import NORMALIZATIONS  # late: torch

    return NORMALIZATIONS


class Settings(BaseModel):
    """Base class of settings, which may be nested: immutable, no unknown names, no silent type conversions."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class RunConfig(Settings):
    """Settings of a training run.

    The descriptions are the help of the command line. ``None`` and ``()`` mean "choose from the data"; a run's
    ``config.yaml`` contains the values that were chosen.

    Raises:
        InputError: an unknown setting, a value of another type or out of range.

    Example:
        >>> RunConfig(task="classify", data="DATA", size="128x256").size
        (128, 256)
    """

    task: Annotated[str, one_of(lambda: TASKS)] = Field(
        "segment", description=" or ".join(f"{name} ({entry.data})" for name, entry in TASKS.items())
    )
    data: Annotated[str, BeforeValidator(read_path)] = Field("", description="folder of images")
    method: str = Field(
        "",
        description="method of a task that has several, "
        + (
            ", ".join(f"for {name} {', '.join(entry.methods)}" for name, entry in TASKS.items() if entry.methods)
            or "none of the built-in ones"
        )
        + "; by default the first one",
    )
    surface: str = Field(
        "plane",
        description="plane, equirectangular, icosphere:LEVEL or icosahedron:LEVEL (number of subdivisions, each into 4 "
        "times as many samples), healpix:NSIDE (12 NSIDE^2 samples) or cubemap:SIZE (SIZE x SIZE samples a face); "
        "options as in plane:border=reflect",
    )
    model: Annotated[str, one_of(lambda: MODELS)] | None = Field(
        None, description=f"network: {', '.join(MODELS)}; by default that of the task"
    )
    encoder: Annotated[str, one_of(_encoder_names)] | None = Field(
        None,
        description="downsampling part of a unet, deeplab, fpn or linknet: plain, resnet18, resnet34, resnet50, "
        "resnet101 or timm:NAME (pip install omniconv[timm]); by default that of the network, plain for a unet",
    )
    layers: int = Field(18, description="18, 34, 50 or 101: layers of a resnet")
    width: int = Field(16, description="channels of the network at full size, of a ResNet those of its stem")
    depth: int = Field(3, description="number of times that the network halves the size")
    down: str = Field("stride", description="stride, max or average: how the network halves the size")
    up: str = Field("linear", description="linear or transposed: how a unet doubles the size")
    stem_stride: int = Field(
        1,
        ge=1,
        le=2,
        description="1, or 2: the first convolution of the plain encoder of a unet is the first step that halves the "
        "size, which makes training several times as fast at the same width",
    )
    residual: bool = Field(
        False,
        description="shortcuts beside the convolutions of the plain encoder of a unet, and one convolution instead of "
        "two at each size of its decoder",
    )
    normalization: Annotated[str, one_of(_normalizations)] | None = Field(
        None,
        description="batch, group (by the statistics of each image), weight (of the weights) or none; by default that "
        "of the network; a ResNet has its own",
    )
    output_stride: int | None = Field(
        None,
        ge=2,
        description="factor by which a ResNet, or the encoder of a deeplab, fpn or linknet, reduces the size: 4, 8, 16 "
        "or 32; by default the published one, on a mesh at most that of its coarsest level",
    )
    weights: Annotated[str, BeforeValidator(read_path)] = Field(
        "",
        description="weights that the network starts from: a .safetensors or .pth file, the folder of a run, or for a "
        "resnet torchvision or timm, which are downloaded; its normalization is taken over",
    )
    encoder_weights: Annotated[str, BeforeValidator(read_path)] = Field(
        "", description="the same for the encoder of a unet, deeplab, fpn or linknet: a file, torchvision or timm"
    )
    freeze: int = Field(
        0,
        ge=0,
        le=10**6,
        description="first epochs in which the encoder (of a resnet all but the last layer) keeps these weights",
    )
    mean: Channels = Field(
        (),
        description="R,G,B mean that is subtracted from images of values from 0 to 1; by default that of the weights, "
        "if it is known, else that of the training images",
    )
    std: PositiveChannels = Field((), description="R,G,B standard deviation that images are divided by, as mean")
    network: str | None = Field(
        None,
        description="network of your own, as package.module:callable: a torch.nn.Module for images (batch, 3, height, "
        "width), or a function without arguments that returns one; name it again to use a run of it",
    )
    poles: Annotated[str, one_of(lambda: OWN_POLES)] = Field(
        "flat",
        description="what a converted network of your own reads above and below a panorama: flat (what it reads beyond "
        "a flat image), over (the pole), zeros, replicate or reflect",
    )
    channel_order: Annotated[str, one_of(lambda: CHANNEL_ORDERS)] = Field(
        "rgb", description="channels that a network of your own takes: rgb, bgr or grey (one channel)"
    )
    output_key: str | None = Field(
        None, description="output of a network of your own, by key or index, if it has several; by default the first"
    )
    size: Size = Field(
        (),
        description="N or HxW: size in pixels that images are resized to; by default their own size if all are equal "
        "and not too large, else 256 (256x512 on a sphere); on a mesh by default as fine as the mesh",
    )
    epochs: int = Field(20, ge=1, le=10**6, description="passes over the training images")
    repeat: int = Field(
        1, ge=1, le=10**6, description="times that each image is drawn per epoch; increase for small data sets"
    )
    batch_size: int = Field(8, ge=1, le=65_536, description="images per training step")
    learning_rate: Number = Field(2e-3, gt=0, lt=10, description="largest learning rate of the schedule")
    weight_decay: Number = Field(1e-4, ge=0, le=10, description="weight decay of the optimizer")
    optimizer: Annotated[str, one_of(lambda: OPTIMIZERS)] = Field(
        "adamw", description="adamw, adam or sgd (Nesterov momentum; needs a larger learning rate)"
    )
    schedule: Annotated[str, one_of(lambda: SCHEDULES)] = Field(
        "cosine",
        description="learning rate: cosine (rises for 5 % of the steps, falls to 1 %), onecycle (rises for 30 %, "
        "as torch's OneCycleLR) or constant (after the same rise as cosine)",
    )
    accumulate: int = Field(
        1,
        ge=1,
        le=65_536,
        description="batches whose gradients are averaged for a step: a larger batch in the memory of a small one",
    )
    clip: Number = Field(
        0, ge=0, le=1e9, description="largest norm of the gradient of all weights together; 0: no limit"
    )
    ema: Number = Field(
        0,
        ge=0,
        le=1e6,
        description="half-life of the moving average of the weights, which is validated and kept, in thousands of "
        "images; at most 5 % of the images seen so far; 0: no average",
    )
    sample_every: int = Field(
        0,
        ge=0,
        le=10**6,
        description="epochs between two pictures of progress in RUN/samples/, of tasks that draw some; 0: none",
    )
    augment: Names = Field(
        None,
        description="flip, turn (roll about the vertical axis), rotate (any rotation of the sphere), colour, blur, "
        "noise, of flat images quarter (quarter turns), crop, scale and tilt (any angle), of class labels cutmix and "
        "mixup, and kornia:NAME (pip install omniconv[augment]), with commas between them, or none; by default turn on "
        "a sphere, flip for flat segmentation",
    )
    validation: Number = Field(
        0.2, ge=0, le=0.9, description="fraction of the images held out for validation, if the folder has no val/"
    )
    patience: int = Field(
        0, ge=0, le=10**6, description="epochs without improvement after which training stops; 0: never stop early"
    )
    loss: str = Field(
        "ce",
        description="ce (cross entropy), bce (binary cross entropy of each class), focal, in segmentation also dice, "
        "tversky or lovasz, which measure regions; or a sum such as ce+dice",
    )
    label_smoothing: Number = Field(
        0, ge=0, lt=1, description="share of the target that the cross entropy spreads over all classes"
    )
    balance: bool = Field(False, description="weight each class in the loss by 1 / ln(1.02 + its frequency)")
    oversample: Number = Field(
        0,
        ge=0,
        le=1,
        description="draw images of rare classes more often: sqrt(T / f) times for a class in a share f of the "
        "training images below this T, such as 0.1 (repeat-factor sampling of LVIS); 0: draw all equally often",
    )
    binary: bool = Field(False, description="masks are 0 and 255, and 255 marks class 1 instead of being ignored")
    holes: Annotated[str, one_of(_hole_styles)] = Field(
        "lama",
        description="holes that inpaint draws where the data has no masks: deepfill (DeepFill v2: a rectangle and "
        "strokes), lama (LaMa's training: strokes or rectangles), thin, medium or thick (LaMa's evaluation)",
    )
    min_object: Number = Field(
        0,
        ge=0,
        le=10**9,
        description="smallest object that is counted in segmentation, in pixels (on a sphere pixels at the equator); "
        "0: all",
    )
    skip_bad: bool = Field(False, description="skip images and masks that cannot be read instead of stopping")
    seed: int = Field(0, ge=0, le=2**63 - 1, description="seed of all random numbers")
    precision: Annotated[str, BeforeValidator(read_precision), one_of(lambda: PRECISIONS)] = Field(
        "32", description="32, bf16 or 16 (mixed precision)"
    )
    device: Annotated[str, one_of(lambda: DEVICES)] = Field("auto", description="auto, cpu or cuda")
    devices: int = Field(
        1,
        ge=1,
        le=1024,
        description="devices on each machine, each with a process of its own, which share the work; also several "
        "processes on a cpu. The batch size is that of all processes together",
    )
    nodes: int = Field(
        1,
        ge=1,
        le=65_536,
        description="machines; the processes are started by torchrun or srun (docs/many-machines.md)",
    )
    strategy: Annotated[str, one_of(lambda: STRATEGIES)] = Field(
        "auto",
        description="how several processes train: ddp (each has all weights; auto is the same) or fsdp (each has a "
        "part of them, for networks beyond the memory of one GPU)",
    )
    cache: Annotated[str, one_of(lambda: CACHES)] = Field(
        "auto",
        description="where decoded images are kept during the training: memory, disk (RUN/cache, deleted at the end) "
        "or none; auto: memory up to 2 GiB, else disk",
    )
    workers: Workers = Field(
        0,
        description="processes that load images, 0 to 64; auto: one less than the cores, at most 8, or 0 if images in "
        "memory need next to no work",
    )
    compile: bool = Field(
        False,
        description="compile the network for the training steps (torch.compile; needs a C++ compiler); takes minutes, "
        "and gains nothing on a CPU",
    )
    logger: Annotated[NamesGiven, some_of(LOGGERS)] = Field(
        ("tensorboard",),
        description="where the curves of the training go: tensorboard (RUN/tensorboard), csv (RUN/logs/csv), wandb or "
        "mlflow (pip install omniconv[wandb] or omniconv[mlflow]; offline they write into RUN/logs), with commas "
        "between them, or none",
    )

    def __init__(self, spell: Spelling | None = None, /, **settings: Any) -> None:
        """Check the settings; ``spell`` writes a setting with a value in errors, by default as ``name=value``."""
        try:
            super().__init__(
                **{name: value if isinstance(value, list) else to_builtin(value) for name, value in settings.items()}
            )
        except ValidationError as error:
            raise InputError(*explain(type(self), error, spell or spell_argument)) from None
        if self.method and "task" in settings:  # a file of settings may leave the task to the command line
            _check_method(self.task, self.method, spell or spell_argument)

    @classmethod
    def with_task_defaults(cls, **settings: Any) -> Self:
        """Return the settings, with the defaults of the task (and method), the model and its encoder.

        The default depth is at most the number of coarser levels of the surface.

        Raises:
            InputError: an unknown setting, a value of another type or out of range.

        Example:
            >>> RunConfig.with_task_defaults(task="segment", surface="icosphere:2").depth
            2
        """
        config = cls(**settings)
        defaults = config.defaults
        levels = _coarser_levels(config.surface)
        if "depth" in defaults and levels:
            defaults["depth"] = min(defaults["depth"], levels)
        return cls(**({name: value for name, value in defaults.items() if settings.get(name) is None} | settings))

    @property
    def task_object(self) -> Task:
        """The task, with the method."""
        return get_task(self.task, self.method)

    @property
    def model_name(self) -> str:
        """Name of the model, the task's default one if none is set; that of a network of the user's own is fixed.

        Raises:
            InputError: the task trains no networks of the user's own.
        """
        if self.network is None:
            return self.model or self.task_object.default_model
        name = own_model_for(self.task_object.output)
        if name is None:
            rule = f"cannot be trained for the task {self.task}, whose networks have methods of their own"
            raise InputError("network", self.network, rule, "leave it out, or derive a class from oc.models.Model")
        return name

    def check_model(self) -> None:
        """Check that the model has the output that the task requires; not a validator, since it imports torch.

        Raises:
            InputError: it has another output, or a setting is not the default one and the model or the task does not
                use it.
        """
        task = self.task_object
        if self.network is not None and self.model is not None:
            rule = "cannot be given with a network of your own"
            raise InputError("model", self.model, rule, "leave one of model and network out")
        if self.network is None and not models_for(task.output):
            rule = f"is required for the task {self.task}, which no model of omniconv serves"
            raise InputError("network", None, rule, "give network='package.module:callable'")
        if self.network is None and self.model_name not in models_for(task.output):
            method = f" with method={task.method}" if task.method else ""
            rule = f"must be one of {', '.join(models_for(task.output))} for the task {self.task}{method}"
            raise InputError("model", self.model_name, rule, f"use model={task.default_model!r}")
        self.check_used(name for name in self.unused if getattr(self, name) != self.default(name))

    def check_used(self, names: Iterable[str]) -> None:
        """Check that the model, its encoder or the task uses each of these settings.

        Raises:
            InputError: it does not.
        """
        for name in names:
            if name in self.unused:
                of_model = name in (*NETWORK_SETTINGS, *BACKBONE_SETTINGS)
                kind, user = ("model", self.network or self.model_name) if of_model else ("task", self.task)
                if kind == "model" and name in self._model_parameters:
                    kind, user = "encoder", str(self.network_encoder)
                rule = f"is not used by the {kind} {user}"
                raise InputError(name, getattr(self, name), rule, f"leave it out, or choose another {kind}")

    @property
    def _model_parameters(self) -> Mapping[str, Parameter]:
        return signature(get_model(self.model_name)).parameters

    @property
    def network_encoder(self) -> str | None:
        """Name of the encoder, the model's default one if none is set; ``None`` for a model without a choice."""
        parameter = self._model_parameters.get("encoder")
        return None if parameter is None else self.encoder or parameter.default

    @property
    def unused(self) -> tuple[str, ...]:
        """Names of the settings that the model or its encoder does not take or that the task does not use."""
        from omniconv.models.encoders.registry import encoder_options  # late: torch

        accepted, used, encoder = set(self._model_parameters), self.task_object.settings, self.network_encoder
        if encoder is not None:
            accepted -= set(ENCODER_SETTINGS) - set(encoder_options(encoder))
        if "depth" in accepted:  # which decides the output stride
            accepted -= {"output_stride"}
        backbone = get_model(self.model_name).backbone_names
        return (
            *(name for name in NETWORK_SETTINGS if name not in accepted),
            *(() if "encoder" in backbone else ("encoder_weights",)),
            *(() if backbone else ("freeze",)),
            *(name for name in TASK_SETTINGS if name not in used),
        )

    @property
    def defaults(self) -> dict[str, Any]:
        """Settings that have other defaults than the usual ones for the task and method, the model or its encoder."""
        from omniconv.models.encoders.registry import PLAIN, encoder_options  # late: torch

        encoder = self.network_encoder
        # The usual defaults are those of a small plain encoder; other encoders have the published sizes.
        options = {} if encoder in (None, PLAIN) else encoder_options(str(encoder))
        of_encoder = {name: options[name] for name in ENCODER_SETTINGS if name in options}
        chosen = {**self.task_object.defaults, **get_model(self.model_name).defaults, **of_encoder}
        return {name: value for name, value in chosen.items() if name not in self.unused}

    def default(self, name: str) -> Any:
        """Return the default of a setting for the task and method, the model and its encoder."""
        return self.defaults.get(name, type(self).model_fields[name].default)

    def network_settings(self) -> dict[str, Any]:
        """Return the settings that are arguments of the model, with values instead of ``None``."""
        chosen = {name: getattr(self, name) for name in NETWORK_SETTINGS if name not in self.unused}
        if self.normalization is None:
            chosen.pop("normalization", None)
        if "encoder" in chosen:
            chosen["encoder"] = self.network_encoder
        if "output_stride" in chosen and self.output_stride is None:
            chosen["output_stride"] = self._default_output_stride()
        return chosen

    def _default_output_stride(self) -> int | None:
        """Return the published output stride, or that of the coarsest level of a mesh if it is smaller."""
        from omniconv.models.encoders.registry import default_output_stride  # late: torch
        from omniconv.surfaces import surface

        stride: int | None = self._model_parameters["output_stride"].default
        if stride is None and self.network_encoder is not None:
            stride = default_output_stride(self.network_encoder)
        levels = surface(self.surface).max_depth
        return stride if stride is None or levels is None else min(stride, 2**levels)

    @property
    def loss_settings(self) -> dict[str, Any]:
        """Settings that are arguments of ``Task.criterion``."""
        return {name: getattr(self, name) for name in LOSS_SETTINGS if name in self.task_object.settings}

    def network_arguments(self, in_channels: int, classes: tuple[str, ...]) -> dict[str, Any]:
        """Return the construction arguments of the model: those of the task, and the settings that it takes."""
        return self.task_object.network_arguments(in_channels, classes, tuple(self.size)) | self.network_settings()

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some settings changed, checked again."""
        return type(self)(**(dict(self) | changes))

    def write(self, path: Path, names: Collection[str] | None = None) -> None:
        """Write as YAML, each setting below its description, without settings that are not used.

        Args:
            path: the file.
            names: settings to write; by default all.
        """
        with atomic_write(path, "w") as file:
            for name, value in self.model_dump(mode="json", include=None if names is None else set(names)).items():
                text = yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix("...\n").strip()
                if name not in self.unused or value != type(self).model_fields[name].default:
                    file.write(f"# {type(self).model_fields[name].description}\n{name}: {text}\n")


def _check_method(task: str, method: str, spell: Spelling) -> None:
    methods = TASKS[task].methods
    if not methods:
        raise InputError("method", method, f"must not be given for the task {task}, which has one only", "leave it out")
    if method not in methods:
        rule = f"must be one of {', '.join(methods)} for the task {task}"
        raise InputError("method", method, rule, f"use {spell('method', next(iter(methods)))}")


def _coarser_levels(name: str) -> int | None:
    """Return the number of coarser levels of a surface; ``None`` if any, or if there is no such surface."""
    from omniconv.surfaces import surface  # late: NumPy and SciPy, which `omniconv --help` does not need

    with suppress(InputError):  # of `check_settings`
        return surface(name).max_depth
    return None


def with_earlier_defaults(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a file, with those that the ``config.yaml`` of an earlier version lacks.

    A file with all others is one that a run has written, and repeats its training: settings that have been added since
    get the values by which that version trained, not today's defaults of the task.
    """
    config = RunConfig(**settings)
    if missing_settings(config, settings):
        return dict(settings)
    added = {name: RunConfig.model_fields[name].default for name in ADDED_SETTINGS if name not in config.unused}
    if "normalization" in added:  # of the network, not today's one of the task
        added["normalization"] = config._model_parameters["normalization"].default
    return added | dict(settings)


def missing_settings(config: RunConfig, given: Collection[str]) -> list[str]:
    """Return the names of the settings that a run of any version has written, and that are not among those given."""
    optional = {*config.unused, *ADDED_SETTINGS}
    return [name for name in RunConfig.model_fields if name not in given and name not in optional]


def read_config(path: str | Path) -> dict[str, Any]:
    """Read and check the settings in a YAML file, without defaults for missing ones.

    Raises:
        FileError: as ``read_yaml_settings``, or the file contains an unknown setting or an invalid value.
    """
    read = read_yaml_settings(path)
    for former, name in FORMER_NAMES.items():
        if former in read and name in read:
            raise FileError(path, f"sets both {former} and {name}, two names of one setting", f"keep {name}")
    settings = {FORMER_NAMES.get(name, name): setting.value for name, setting in read.items()}
    for name, setting in read.items():
        if name not in {*RunConfig.model_fields, *FORMER_NAMES} and isinstance(setting.value, dict):
            rule = f"has settings below {name} in line {setting.line}: settings are not nested"
            raise FileError(path, rule, f"remove {name} and the indent of the lines below it")
    try:
        config = RunConfig("{}: {}".format, **settings)
    except InputError as error:
        raise FileError.from_input_error(path, error) from None
    return {name: getattr(config, name) for name in settings}


@contextmanager
def errors_in_file(path: Path | None, names: Collection[str]) -> Iterator[None]:
    """Name a file, and write ``name: value`` instead of ``name=value``, in errors of settings that it contains.

    Args:
        path: YAML file of settings; errors stay as they are if it is ``None``.
        names: the settings that come from it.
    """
    try:
        yield
    except InputError as error:
        if path is None or error.argument not in names:
            raise
        pattern = rf"\b({'|'.join(RunConfig.model_fields)})=('([^']*)'|[^\s;,)]+)"

        def spell(text: str) -> str:
            return re.sub(pattern, lambda match: f"{match[1]}: {match[3] or match[2]}", text)

        raise FileError.from_input_error(path, error, spell) from None


def option(name: str) -> str:
    """Return the command-line option of a setting."""
    return "--" + OPTION_NAMES.get(name, name).replace("_", "-")
