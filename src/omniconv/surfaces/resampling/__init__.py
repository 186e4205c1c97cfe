"""Maps of signals between spherical surfaces, rotations and perspective views, each as one sparse operator.

``samples.py`` flattens a surface and the shape of its signals to plain arrays. ``between_surfaces.py`` interpolates at
the target's samples, or, where the target is coarser, takes the averages of ``area_averages.py``. ``rotation.py``
interpolates a surface at its own rotated samples, and ``perspective.py`` at the pixels of a camera (and back).
"""
