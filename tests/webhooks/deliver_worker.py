"""Delivers until it is killed: `python deliver_worker.py STATE PROJECT URL`. Its lease is short, for the next one."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from mainstay.registry.store import Registry
from mainstay.webhooks.delivering import Deliverer, Receiver
from mainstay.webhooks.sending import place_of

KEY = b"a secret of some length"


def main(state: str, project: str, url: str) -> None:
    place = place_of(url, shown=url, allow_private=True)
    with Registry.open(Path(state)) as registry:
        Deliverer(
            registry.outbox,
            project,
            [Receiver(url, place, KEY)],
            said=lambda sentence, well: None,
            chance=lambda: 0.0,
            lease=1.0,
        ).run(threading.Event())


if __name__ == "__main__":
    main(*sys.argv[1:])
