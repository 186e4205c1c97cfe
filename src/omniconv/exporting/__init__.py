"""Networks in files that other programs run: ONNX, and torch's own exported programs."""

from omniconv.exporting.export import FORMATS, Exported, export
from omniconv.exporting.from_run import export_run

__all__ = ["FORMATS", "Exported", "export", "export_run"]
