"""SphConv beside the flat network on the panorama and its circular and tangent conversions: the paper's comparison."""
