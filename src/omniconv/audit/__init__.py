"""Errors of a network at the seam of a panorama, at its poles and under rotations of the sphere.

``model_adapter`` turns any module, network of ``oc.models`` or predictor into a function of one panorama. ``shift``
rolls panoramas horizontally (with ``total_stride`` it separates border effects from those of the stride). ``rotation``
rotates the sphere and passes each trial to three accumulators: the mean over the sphere, bands of ``latitude``, and the
map of ``position``. All measure by ``difference``. ``run`` takes all measures at once, ``verdict`` grades them in words
and ``plot`` draws them.
"""

from omniconv.audit.latitude import LatitudeBands, by_latitude
from omniconv.audit.position import BorderEffects, border_effects
from omniconv.audit.rotation import RotationConsistency, rotation_consistency
from omniconv.audit.run import Audit, audit
from omniconv.audit.shift import ShiftError, shift_error

__all__ = [
    "Audit", "BorderEffects", "LatitudeBands", "RotationConsistency", "ShiftError", "audit", "border_effects",
    "by_latitude", "examine", "rotation_consistency", "shift_error",
]  # fmt: skip

examine = audit  # an earlier name of the function
