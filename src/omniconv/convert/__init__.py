"""Convert trained flat networks to panoramas, with their own weights.

``to_equirectangular`` and ``to_tangent`` convert a network in place:

1. Class swap (``overrides/module_class.py``): each module gets a subclass of its own class, so that parameters,
   ``state_dict`` keys, hooks and ``isinstance`` stay as they were.
2. ``TorchFunctionMode`` (``overrides/mode.py``): the subclass runs the original ``forward`` inside a mode that sees
   every torch function, whether a layer or the user's code calls it.
3. Override table (``overrides/table.py``): functions that read beyond the edges of an image (convolution, pooling,
   padding, resizing) are replaced by overrides; all other functions run unchanged.
4. Pad offset (``overrides/pad_tracking.py``): where a network pads in one call and convolves in the next, the tensor
   carries the number of padded samples from the first override to the second.
5. Image axes (``overrides/axis_tracking.py``): where a network exchanges axes, the tensor carries which ones are
   latitude and longitude.
6. Operators: the overrides call those of ``omniconv.nn``, with the panorama's ``Border`` or tangent ``Stencil``.

``choice.py`` measures these conversions against perspective views, and recommends one for the user's panoramas.
``equivariance/`` runs a converted network on a rolled panorama and reports every operation that is not equivariant.
``sphconv/`` does not use the mode: it builds a new network with one kernel for each row, and fits these kernels.
"""

from omniconv.convert.choice import ConversionChoice, ConversionFigures, choose
from omniconv.convert.equirectangular import to_equirectangular
from omniconv.convert.finding import ConversionReport, Finding, SeamWarning
from omniconv.convert.overrides.module_class import revert
from omniconv.convert.sphconv.convert import SphConv, to_sphconv
from omniconv.convert.sphconv.report import SphConvReport
from omniconv.convert.tangent import to_tangent

__all__ = [
    "ConversionChoice", "ConversionFigures", "ConversionReport", "Finding", "SeamWarning", "SphConv", "SphConvReport",
    "choose", "revert", "to_equirectangular", "to_sphconv", "to_tangent",
]  # fmt: skip
