"""Open Inference Protocol, version 2, over REST: https://github.com/kserve/open-inference-protocol

With Triton's extensions for binary tensors, the model repository's index, configurations, and statistics.
"""
