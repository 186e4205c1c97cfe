"""Networks in files that other programs run: ONNX, and torch's own exported programs."""

from omniconv.export.door import FORMATS, Exported, export
from omniconv.export.runs import export_run

__all__ = ["FORMATS", "Exported", "export", "export_run"]
