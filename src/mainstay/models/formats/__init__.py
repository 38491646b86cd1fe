"""One module a format: how its files are made, loaded and run.

A module imports its own heavy library and nobody else's. Making a file needs the `train` extra; running ONNX
needs the default install alone.
"""
