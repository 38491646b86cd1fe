"""Where deployments run: behind one protocol, `local` being the first.

Whatever the target, the servers follow the registry by themselves; a target sees to it that there are servers, and
says how they stand.
"""
