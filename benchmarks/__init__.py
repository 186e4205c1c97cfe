"""Benchmarks: times relative to torch.nn on the same machine, in one process. Run one: ``python -m benchmarks.NAME``.

``timing`` has the rules (interleaved rounds, medians, interquartile ranges, a description of the machine). Slower
results are published in ``results/`` as well.
"""

from importlib.util import find_spec

import torch

if find_spec("torchvision"):  # in an environment of peers: torchmetrics imports it, before any benchmark's own code
    # Without its compiled operators, which may not fit this torch, it needs their names. The object is kept, since the
    # definitions are removed with it.
    _LIBRARY = torch.library.Library("torchvision", "FRAGMENT")
    for _name in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, _name):
            _LIBRARY.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
