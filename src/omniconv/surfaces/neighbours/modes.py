"""The names of what may lie beyond an edge; types only, so that every floor can speak of them."""

from collections.abc import Sequence
from typing import Literal

Mode = Literal["zeros", "reflect", "replicate", "circular", "pole", "cube"]
PaddingMode = Mode | Sequence[Mode | tuple[Mode, Mode]]
