"""The server's side of HTTP/2 (RFC 9113), as far as gRPC needs it, on asyncio: no push, no priorities.

Written here because a Python gRPC server on the reference implementation spends several times as long on a call as the
call itself takes, keeps threads of its own, and cannot listen on a socket that it is handed.
"""
