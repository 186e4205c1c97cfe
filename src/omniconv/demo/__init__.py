"""Demonstration: segmentation of land and sea in an image of the Earth, on three surfaces.

``earth`` loads the image and blanks the part that is held out; ``demonstration`` trains each network by
``omniconv.runs``; ``comparison`` measures them on the held-out part, upright and after rotations of the sphere;
``comparison_page`` writes the report.
"""
