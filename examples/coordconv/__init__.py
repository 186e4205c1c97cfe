"""Not-so-Clevr (Liu et al., CoordConv, NeurIPS 2018): can a network tell where it is?"""
