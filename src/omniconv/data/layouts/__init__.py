"""Folder layouts of data sets.

``dataset_folder`` has the result of every scan, a ``DatasetFolder`` of ``Sample`` objects, and finds the splits
``train``, ``val`` and ``test``. ``image_masks``, ``class_folders`` and ``image_folder`` each scan one layout; a task of
``omniconv.tasks`` chooses its layout. ``image_list`` lists images to predict, each with the name of its output.
No scan decodes a file.
"""
