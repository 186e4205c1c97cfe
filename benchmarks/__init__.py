"""Benchmarks: times relative to torch.nn on the same machine, in one process. Run one: ``python -m benchmarks.NAME``.

``timing`` has the rules (interleaved rounds, medians, interquartile ranges, a description of the machine). Slower
results are published in ``results/`` as well.
"""
