"""Files of networks: safetensors with the name of the model, its construction arguments and preprocessing.

``model_file`` has ``save`` and ``load``. Nothing that a file names is imported or unpickled: ``rebuilding`` builds the
network from ``MODELS`` and the arguments, and compares its tensors with those of the network to be saved, or of the
file to be loaded, before any weight is allocated. ``tensor_file`` reads and writes the tensors, with a checksum and
bounds on the header.
"""
