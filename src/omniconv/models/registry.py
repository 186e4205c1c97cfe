"""Registry of models: the networks that files and the command line can name; nothing else is ever imported."""

from __future__ import annotations

from pkgutil import resolve_name
from typing import TYPE_CHECKING, Literal, get_args

from omniconv.checks import check_choice
from omniconv.errors import InputError

if TYPE_CHECKING:
    from omniconv.models.base import Model

Output = Literal["dense", "global", "image", "denoiser", "autoencoder", "generator", "discriminator", "inpainter"]
"""Output of a network, which decides the tasks that it serves.

``dense``: a vector per sample of the surface; ``global``: one vector per image; ``image``: an image from an image;
``denoiser``: the denoised estimate of a noisy image at a noise level; ``autoencoder``: the reconstruction of an image;
``generator``: an image from a latent vector; ``discriminator``: scores of an image; ``inpainter``: the completed image
from an image and a mask.
"""
IMAGE_OUTPUTS = frozenset(("dense", "image", "denoiser", "autoencoder", "generator", "inpainter"))
"""Outputs with a vector per sample of the surface."""
LOGIT_OUTPUTS = frozenset(("dense", "global"))
"""Outputs that are usually logits or values of a regression, named ``logits`` in exported files."""
NORMALIZED_OUTPUTS = frozenset(("image", "autoencoder", "generator", "inpainter"))
"""Outputs that are images as normalized as the training images."""
LATENT_INPUTS = frozenset(("generator",))
"""Outputs of networks whose first input is a latent signal instead of an image."""
NOISY_INPUTS = frozenset(("denoiser",))
"""Outputs of networks whose first input is an image with noise, of a level in the units of normalized images."""

MODELS: dict[str, type[Model] | str] = {
    "autoencoder": "omniconv.models.generative.autoencoder:Autoencoder",
    "classifier": "omniconv.models.classifier:Classifier",
    "deeplab": "omniconv.models.decoders.deeplab:DeepLab",
    "denoiser": "omniconv.models.generative.denoiser:Denoiser",
    "discriminator": "omniconv.models.generative.r3gan:Discriminator",
    "fpn": "omniconv.models.decoders.fpn:FPN",
    "generator": "omniconv.models.generative.r3gan:Generator",
    "inpainter": "omniconv.models.inpainting.inpainter:Inpainter",
    "linknet": "omniconv.models.decoders.linknet:LinkNet",
    "local_denoiser": "omniconv.models.generative.local_denoiser:LocalDenoiser",
    "patch_discriminator": "omniconv.models.inpainting.deepfill:PatchDiscriminator",
    "resnet": "omniconv.models.resnet:ResNet",
    "segnet": "omniconv.models.decoders.segnet:SegNet",
    "unet": "omniconv.models.unet:UNet",
}
"""Known models by name: the class, or where to import it from, so that listing the names does not import torch."""
OWN_MODELS: dict[str, type[Model] | str] = {
    "own_dense": "omniconv.convert.own_network:OwnDense",
    "own_global": "omniconv.convert.own_network:OwnGlobal",
    "own_image": "omniconv.convert.own_network:OwnImage",
}
"""Networks of the user's own by the name of their class in files. They are not chosen by name, but by the code of the
network, which is never imported because a file names it (``omniconv.models.own_code``)."""


def get_model(name: str) -> type[Model]:
    """Return the class of a model.

    Raises:
        InputError: no model has that name.

    Example:
        >>> get_model("unet").output
        'dense'
    """
    models = OWN_MODELS if name in OWN_MODELS else MODELS
    entry = models[check_choice("model", name, models)]
    if isinstance(entry, str):
        entry = models[name] = resolve_name(entry)
    return entry


def models_for(output: Output) -> tuple[str, ...]:
    """Return the names of the models with this output, which can be trained for the tasks that require it.

    A task with methods requires one output per method.

    Example:
        >>> "unet" in models_for("dense")
        True
    """
    return tuple(name for name in MODELS if get_model(name).output == output)


def own_model_for(output: Output) -> str | None:
    """Return the name of the class for networks of the user's own with this output, ``None`` if there is none.

    Example:
        >>> own_model_for("dense"), own_model_for("denoiser")
        ('own_dense', None)
    """
    return next((name for name in OWN_MODELS if get_model(name).output == output), None)


def model_name(model: Model) -> str:
    """Return the name under which the class of a model is registered.

    Raises:
        InputError: it is not registered.
    """
    for name in (*MODELS, *(OWN_MODELS if getattr(model, "code", None) else ())):
        if get_model(name) is type(model):
            return name
    rule, cure = f"must be one of {', '.join(MODELS)}", "add it by oc.models.register_model"
    if any(get_model(name) in type(model).__mro__ for name in MODELS):
        cure += "; where FSDP or a parametrization changed its class, load its full weights into a plain network"
    raise InputError("model", type(model).__name__, rule, cure)


def register_model(name: str, model: type[Model]) -> None:
    """Add a model, so that ``build``, ``save``, ``load`` and every command accept it.

    Args:
        name: name in files and on the command line.
        model: a subclass of ``Model``.

    Raises:
        InputError: another model has that name; ``model`` is no subclass of ``Model`` with an ``output``, or lacks a
            method that networks of this output have (``omniconv.models.roles``).
    """
    from omniconv.models.base import Model  # late: they import torch, and this module
    from omniconv.models.roles import ROLES, missing_methods

    if name in MODELS or name in OWN_MODELS:
        raise InputError("name", name, "is the name of another model", "choose another name")
    if not (isinstance(model, type) and issubclass(model, Model) and getattr(model, "output", "") in get_args(Output)):
        rule = f"must be a subclass of oc.models.Model with an output of {', '.join(get_args(Output))}"
        raise InputError("model", model, rule, "derive the network from it")
    missing = missing_methods(model, ROLES.get(model.output, ()))
    if missing:
        rule = f"has the output {model.output}, but no method {', '.join(missing)}"
        raise InputError("model", model.__name__, rule, "define what omniconv.models.roles describes")
    MODELS[name] = model
