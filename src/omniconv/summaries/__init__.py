"""What a network is made of: sizes, receptive fields, parameters and costs of its layers."""

from omniconv.summaries.table import Row, Summary, summary

__all__ = ["Row", "Summary", "summary"]
