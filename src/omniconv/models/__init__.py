"""Whole networks, written once for every surface."""

from omniconv.models.base import Model
from omniconv.models.classifier import Classifier
from omniconv.models.storage import MODELS, build, load, save
from omniconv.models.unet import UNet

__all__ = ["MODELS", "Classifier", "Model", "UNet", "build", "load", "save"]
