"""Use of trained networks, for any task: prediction of images, files of predictions, evaluation, summaries.

A ``Predictor`` has the network of a run with its preprocessing; the network's ``omniconv.tasks`` object turns its
outputs into predictions of the images' own size, writes them as files and measures them.
"""
