"""The protocols that are spoken over HTTP. A codec only translates: it validates, routes, computes and counts nothing.

Each protocol is a module with a `Dialect`. What decides about rows (names, types, ranges) is the signature; what asks
the version and counts the request is `serving.plane`: once, for all of them.
"""
