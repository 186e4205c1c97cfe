"""Row kernels fitted to a trained flat network (Su & Grauman, SphConv, NIPS 2017).

``source_network`` reads the flat network as a chain of layers, ``targets`` computes the exact projection, the outputs
of the network on a flat view centred on each pixel, ``fitting`` fits the kernels of one layer after the other to
these targets, ``finetune`` trains all of them together, and ``report`` measures errors. ``convert`` holds
``to_sphconv``, which runs these steps, and ``checkpoint`` the folder from which an interrupted conversion continues.
"""
