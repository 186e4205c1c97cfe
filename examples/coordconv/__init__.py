"""Not-so-Clevr (Liu et al., CoordConv, NeurIPS 2018): learning the mapping between coordinates and pixels."""
