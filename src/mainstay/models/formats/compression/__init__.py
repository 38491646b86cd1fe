"""Smaller ONNX graphs that answer nearly as the ones they are made from: each module is one technique.

Graphs in, graphs out: whether what a graph lost can be borne is measured elsewhere.
"""
