"""Use of trained networks, for any task: prediction of images, files of predictions, evaluation.

A ``Predictor`` has the network of a run with its preprocessing. Its ``omniconv.tasks`` object converts the network's
outputs to predictions at the size of the image files, writes them to files and computes their metrics.
"""

from omniconv.inference.predictor import Predictor

__all__ = ["Predictor"]
