"""Generation of images: a network that draws new images like those of a folder.

``base`` has the task: its data, samples, measures and report. Each method is a subclass in a file of its own with its
network, losses and validation: ``denoising`` (``edm``, ``flow``), ``vae``, ``gan``. ``sampling`` draws samples in
batches and converts them to pictures, ``measures`` compares them with images, ``pictures`` draws the report.
"""
