"""Puts this folder on ``sys.path``, so that the tests in ``zoo/`` can import its helper modules."""
