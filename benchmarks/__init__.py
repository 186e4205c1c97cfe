"""Benchmarks: ratios to torch.nn on the same machine, in one process; run one with ``python -m benchmarks.NAME``."""
