"""Metrics of generated and completed images and of objects in label maps, as functions on arrays and tensors.

They work offline: no pretrained network is downloaded. ``distances.py`` and ``manifolds.py`` compare two sets of
feature vectors, ``patches.py`` two sets of images by their texture; ``copies.py`` finds training images among generated
ones; ``seams.py`` measures panoramas across their edge and poles; ``features.py`` trains the network of the features;
``holes.py`` measures completed images; ``objects.py`` counts and matches connected components. A metric takes arrays
or tensors, ``(n, d)`` or ``(n, C, *grid)``, and returns Python numbers; random choices have a seed. A distance means
little without the same distance between two halves of the training images beside it (``floor_halves``).
"""

from omniconv.metrics.copies import NearestImages, authenticity, copied_share, nearest_images
from omniconv.metrics.distances import (
    KernelDistance,
    floor_halves,
    frechet_distance,
    kernel_distance,
    sliced_wasserstein,
)
from omniconv.metrics.features import FeatureNetwork, train_features
from omniconv.metrics.manifolds import ManifoldMetrics, expected_coverage, manifold_metrics
from omniconv.metrics.objects import ObjectMatches, Wrapping, count_objects, label_objects, match_objects
from omniconv.metrics.patches import patch_distances
from omniconv.metrics.seams import EdgeScore, cube_faces, omni_frechet_distance, pole_scores, seam_score

__all__ = [
    "EdgeScore", "FeatureNetwork", "KernelDistance", "ManifoldMetrics", "NearestImages", "ObjectMatches", "Wrapping",
    "authenticity", "copied_share", "count_objects", "cube_faces", "expected_coverage", "floor_halves",
    "frechet_distance", "kernel_distance", "label_objects", "manifold_metrics", "match_objects", "nearest_images",
    "omni_frechet_distance", "patch_distances", "pole_scores", "seam_score", "sliced_wasserstein", "train_features",
]  # fmt: skip
