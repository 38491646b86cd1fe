"""Models that another program wrote to a file: one module a format, each with `detect` and `draft`.

A module imports its library, where it needs one, inside its functions: looking at a file costs nothing.
"""
