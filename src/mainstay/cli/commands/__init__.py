"""The commands of Mainstay, a module for each kind of question. Importing this package registers them."""

from mainstay.cli.commands import (
    catalogue,
    compress,
    demo,
    diff,
    ensemble,
    exchange,
    gc,
    history,
    keys,
    lineage,
    making,
    registry,
    remote,
    running,
    signing,
    webhooks,
)

__all__ = [
    "catalogue",
    "compress",
    "demo",
    "diff",
    "ensemble",
    "exchange",
    "gc",
    "history",
    "keys",
    "lineage",
    "making",
    "registry",
    "remote",
    "running",
    "signing",
    "webhooks",
]
