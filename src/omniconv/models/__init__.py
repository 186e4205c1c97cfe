"""Networks, each defined once for every surface.

A model is a subclass of ``Model`` (``base.py``), which records the construction arguments, so that ``save`` and
``load`` (``storage.py``) can rebuild it from a file. ``rebuilding.py`` compares a network with the one that is rebuilt,
``tensor_file.py`` reads and writes the tensors. ``encoders/`` has the encoders, which several models share; a model
adds its decoder or head. ``MODELS`` (``registry.py``) lists the models by name. A model can be trained for every task,
or method of a task, that requires its ``output`` (``registry.py``), such as ``dense`` (a vector per sample) or
``denoiser``. ``levels.py`` has the surfaces and sizes of an encoder and a decoder, ``sampling.py`` draws samples in
batches.

To add a model, write it in a file of this package and add a line to ``MODELS``; a program that uses omniconv calls
``register_model``. A model is imported when it is first used, since it imports torch.
"""

from __future__ import annotations

from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from omniconv.models.registry import MODELS, get_model, models_for, register_model

if TYPE_CHECKING:
    from omniconv.models.adversarial import Discriminator, Generator
    from omniconv.models.autoencoder import Autoencoder
    from omniconv.models.base import Model
    from omniconv.models.classifier import Classifier
    from omniconv.models.deepfill import PatchDiscriminator
    from omniconv.models.denoiser import Denoiser
    from omniconv.models.inpainter import Inpainter
    from omniconv.models.local_denoiser import LocalDenoiser
    from omniconv.models.rebuilding import build
    from omniconv.models.storage import load, save
    from omniconv.models.unet import UNet

__all__ = [
    "MODELS", "Autoencoder", "Classifier", "Denoiser", "Discriminator", "Generator", "Inpainter", "LocalDenoiser",
    "Model", "PatchDiscriminator", "UNet", "build", "get_model", "load", "models_for", "register_model", "save",
]  # fmt: skip

_MODULES = {
    "Autoencoder": "autoencoder", "Classifier": "classifier", "Denoiser": "denoiser", "Discriminator": "adversarial",
    "Generator": "adversarial", "Inpainter": "inpainter", "LocalDenoiser": "local_denoiser", "Model": "base",
    "PatchDiscriminator": "deepfill", "UNet": "unet",
    "build": "rebuilding", "load": "storage", "save": "storage",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return resolve_name(f"omniconv.models.{_MODULES[name]}:{name}")
    raise AttributeError(f"module 'omniconv.models' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
