"""What a network loses at the seam of a panorama, at its poles, and when the sphere is turned.

Every function takes any module from panoramas ``(B, C, H, W)`` to maps or vectors, networks of ``oc.models`` on every
surface, and predictors of runs; ``audit`` asks all of them at once, and says in words what they found.
"""

from omniconv.audit.bands import LatitudeBands
from omniconv.audit.latitude import by_latitude
from omniconv.audit.position import BorderEffects, border_effects
from omniconv.audit.rotation import RotationConsistency, rotation_consistency
from omniconv.audit.run import Audit, audit
from omniconv.audit.shift import ShiftError, shift_error

__all__ = [
    "Audit", "BorderEffects", "LatitudeBands", "RotationConsistency", "ShiftError", "audit", "border_effects",
    "by_latitude", "examine", "rotation_consistency", "shift_error",
]  # fmt: skip

examine = audit  # an earlier name of the function
