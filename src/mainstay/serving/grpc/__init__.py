"""gRPC: the Open Inference Protocol v2 with Triton's extensions, health and reflection, on a port of its own.

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/open_inference_grpc.proto
How calls look on HTTP/2: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
"""
