"""Export of networks as ONNX files or ``torch.export`` programs (``.pt2``), verified before they are written.

``export`` copies the network to the CPU; ``program`` switches its layers to torch's own operators by
``use_standard_ops`` and traces it by ``torch.export`` with a batch of any size and, where the surface admits it, a grid
of any size. ``onnx_file`` and ``torch_file`` turn the program into bytes with a description of inputs and outputs.
``verification`` runs these bytes and the network on the same inputs of several sizes; the file is written only if they
agree. ``from_run`` exports the network of a training run with its normalization: the file takes RGB from 0 to 1.

The packages of ``omniconv[export]`` (onnx, onnxscript, onnxruntime) are imported only where an ONNX file is made.
"""

from omniconv.exporting.export import FORMATS, Exported, export
from omniconv.exporting.from_run import export_run

__all__ = ["FORMATS", "Exported", "export", "export_run"]
