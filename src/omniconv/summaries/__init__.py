"""Layer tables of whole networks: output sizes, receptive fields, parameters and multiply-adds.

``tracing`` runs a network once on meta tensors, with hooks on its layers and a ``TorchFunctionMode``.
``layer_rules`` (omniconv's layers) and ``functional_rules`` (torch's functions) say how an output depends on the input
along each axis; ``receptive_field`` composes these maps exactly. ``table`` turns the layer calls into rows; the total
stride of networks that are not omniconv's own comes from the same trace.
"""

from omniconv.summaries.table import Row, Summary, summary

__all__ = ["Row", "Summary", "summary"]
