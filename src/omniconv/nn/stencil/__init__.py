"""Operators on ``Stencil``: samples at arbitrary positions, with fixed sparse weights ``S_m`` for each tap m.

``modules`` has the convolution ``y = Σ_m W_m (S_m x)`` and the product with one matrix (average pooling, interpolation,
resampling), ``window_pool`` max and Lp pooling. They multiply in channels last, ``(batch, samples, channels)``, through
a backend of ``backends``: custom ops, or torch's own operators for export.

``tables`` builds matrix and transpose in the smallest layout of ``layouts``;
``omniconv.nn.surface_tables.table_module`` shares them. ``ops`` gathers rows by ``embedding_bag`` in chunks that fit a
cache and multiplies them by the weights; ``halo_ops`` replaces the nine taps of HEALPix's 3 × 3 kernels by padded faces
and a dense convolution. A custom op receives matrix and transpose as one list of ints and one of tensors
(``pack_layouts``). ``reference`` has the slow definition of each op, with which tests compare output and gradients, and
which computes forward-mode and second derivatives.
"""
