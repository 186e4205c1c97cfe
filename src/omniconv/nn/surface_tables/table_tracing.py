"""Computation of tables while a program is traced.

A module of its own, imported only while torch traces: the decorator imports ``torch._dynamo``, which takes more than a
second.
"""

import torch

from omniconv.nn.surface_tables.table_module import find_tables

find_tables_untraced = torch.compiler.disable(find_tables)
