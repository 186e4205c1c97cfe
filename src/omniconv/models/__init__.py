"""Networks, each defined once for every surface.

A model is a subclass of ``Model`` (``base.py``), which records the construction arguments, so that ``save`` and
``load`` (``storage/``) can rebuild it from a file. ``MODELS`` (``registry.py``) lists the models by name. A model can
be trained for every task, or method of a task, that requires its ``output`` (``registry.py``), such as ``dense`` (a
vector per sample) or ``denoiser``; ``roles.py`` has the methods that tasks call on networks of each output.

``classifier.py`` and ``resnet.py`` have networks with one output per image, ``unet.py`` and ``decoders/`` those with an
output per sample; ``generative/`` has those that generate images, ``inpainting/`` those that fill holes. ``encoders/``
has the encoders, which several models share; a model adds its decoder or head. ``levels.py`` has the widths, surfaces
and sizes of an encoder and a decoder.

To add a model, write it in a module of this package and add a line to ``MODELS``; a program that uses omniconv calls
``register_model``. A model is imported when it is first used, since it imports torch.
"""

from __future__ import annotations

from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from omniconv.models.registry import MODELS, get_model, models_for, register_model

if TYPE_CHECKING:
    from omniconv.models.base import Model
    from omniconv.models.classifier import Classifier
    from omniconv.models.decoders.deeplab import DeepLab
    from omniconv.models.decoders.fpn import FPN
    from omniconv.models.decoders.linknet import LinkNet
    from omniconv.models.decoders.segnet import SegNet
    from omniconv.models.encoders.registry import make_encoder
    from omniconv.models.generative.autoencoder import Autoencoder
    from omniconv.models.generative.denoiser import Denoiser
    from omniconv.models.generative.local_denoiser import LocalDenoiser
    from omniconv.models.generative.r3gan import Discriminator, Generator
    from omniconv.models.inpainting.deepfill import PatchDiscriminator
    from omniconv.models.inpainting.inpainter import Inpainter
    from omniconv.models.resnet import ResNet
    from omniconv.models.storage.model_file import load, save
    from omniconv.models.storage.rebuilding import build
    from omniconv.models.unet import UNet
    from omniconv.models.weights.loading import WeightsReport, load_weights

__all__ = [
    "FPN", "MODELS", "Autoencoder", "Classifier", "DeepLab", "Denoiser", "Discriminator", "Generator", "Inpainter",
    "LinkNet", "LocalDenoiser", "Model", "PatchDiscriminator", "ResNet", "SegNet", "UNet", "WeightsReport", "build",
    "get_model", "load", "load_weights", "make_encoder", "models_for", "register_model", "save",
]  # fmt: skip

_MODULES = {
    "Autoencoder": "generative.autoencoder", "Classifier": "classifier", "DeepLab": "decoders.deeplab",
    "Denoiser": "generative.denoiser", "Discriminator": "generative.r3gan", "FPN": "decoders.fpn",
    "Generator": "generative.r3gan", "Inpainter": "inpainting.inpainter", "LinkNet": "decoders.linknet",
    "LocalDenoiser": "generative.local_denoiser", "Model": "base", "PatchDiscriminator": "inpainting.deepfill",
    "ResNet": "resnet", "SegNet": "decoders.segnet", "UNet": "unet", "WeightsReport": "weights.loading",
    "load_weights": "weights.loading", "make_encoder": "encoders.registry",
    "build": "storage.rebuilding", "load": "storage.model_file", "save": "storage.model_file",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return resolve_name(f"omniconv.models.{_MODULES[name]}:{name}")
    raise AttributeError(f"module 'omniconv.models' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
