"""Commands that have a module of their own, and what every command prints to the terminal (``terminal.py``).

``omniconv.cli`` lists all commands. Commands only parse their arguments, call the packages below, which they import
when they run, so that ``--help`` is fast, and print the result.
"""
