"""Keras and TensorFlow: what a model of theirs takes and gives, its way to ONNX, and what may be loaded at all.

`keras_files` and `graphs` judge files as bytes, before TensorFlow sees them and without it. Only `calling` imports
TensorFlow, inside its functions.
"""
