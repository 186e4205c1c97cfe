"""A training run from its settings to its report.

``start`` begins a run in a new folder and ``resume`` continues one that was interrupted; both end in
``start.finish_run``, which trains, evaluates the best network on the held-out samples and writes the report of
``page``. The files of a run's folder are listed in ``omniconv.run_folder``.
"""
