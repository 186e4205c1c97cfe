"""Data sets of image files: reading, folder layouts, preprocessing and augmentation, with NumPy arrays.

``images.py`` and ``masks.py`` read single files, and raise a ``FileError`` for unusable ones. ``layouts/``
lists the samples of a folder without decoding them; ``classes.py`` has their class names, ``file_listing.py`` lists
files, ``split.py`` holds out validation samples. ``preprocessing.py`` resizes an image, resamples it to the surface and
normalizes it, in training as in prediction; in between, ``augmentation.py`` changes training images at random.
"""
