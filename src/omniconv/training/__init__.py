"""Training of any task on folders of images.

``settings`` has the settings of a run. ``dataset_summary`` finds and checks its samples, ``dataset_splits`` keeps
them in ``data.json`` and ``datasets`` makes tensors of them. ``preflight`` resolves the settings and builds the
network. ``fit`` trains it with Lightning: ``module`` is the training step, ``callbacks`` write metrics, the best
network and ``checkpoints`` after each epoch. Whatever depends on the task is asked from its ``omniconv.tasks``
object.
"""
