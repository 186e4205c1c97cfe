"""Registry of models: the closed list of networks that files and the command line may name."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Literal

from omniconv.checks import check_choice
from omniconv.errors import InputError

if TYPE_CHECKING:
    from omniconv.models.base import Model

Output = Literal["dense", "global"]
"""Output of a network: a vector per sample of the surface, or one vector per image."""

MODELS: dict[str, type[Model] | str] = {
    "classifier": "omniconv.models.classifier:Classifier",
    "unet": "omniconv.models.unet:UNet",
}
"""Known models by name: the class, or its module and name, so that listing the names does not import torch."""


def get_model(name: str) -> type[Model]:
    """Return the class of a model.

    Raises:
        InputError: no model has that name.

    Example:
        >>> get_model("unet").output
        'dense'
    """
    entry = MODELS[check_choice("model", name, MODELS)]
    if isinstance(entry, str):
        module, _, class_name = entry.partition(":")
        entry = MODELS[name] = getattr(import_module(module), class_name)
    return entry


def models_for(output: Output) -> tuple[str, ...]:
    """Return the names of the models that have this output, and so serve the tasks that need it.

    Example:
        >>> "unet" in models_for("dense")
        True
    """
    return tuple(name for name in MODELS if get_model(name).output == output)


def model_name(model: Model) -> str:
    """Return the name under which a model's class is registered.

    Raises:
        InputError: it is not registered.
    """
    for name in MODELS:
        if get_model(name) is type(model):
            return name
    rule = f"must be one of {', '.join(MODELS)}"
    raise InputError("model", type(model).__name__, rule, "add it by oc.models.register_model")


def register_model(name: str, model: type[Model]) -> None:
    """Add a model, so that ``build``, ``save``, ``load`` and every command know it.

    Args:
        name: name in files and on the command line.
        model: a subclass of ``Model``.

    Raises:
        InputError: another model has that name.
    """
    if name in MODELS:
        raise InputError("name", name, "is the name of another model", "choose another name")
    MODELS[name] = model
