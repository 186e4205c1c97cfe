"""The SphConv paper's comparison, for a small network: row kernels, tangent planes, circular and plain padding."""
