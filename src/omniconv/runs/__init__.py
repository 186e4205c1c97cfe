"""A training run from its settings to its report.

``start`` begins a run in a new folder and ``resume`` continues one that was interrupted; both end in
``start.finish_run``, which trains, evaluates the best network on the held-out samples and writes the report of
``page``. ``run`` has the functions for Python, ``oc.train`` and ``oc.open_run``, and what they return. The files of a
run's folder are listed in ``omniconv.run_folder``.
"""

from omniconv.runs.run import Run, open_run, train

__all__ = ["Run", "open_run", "train"]
