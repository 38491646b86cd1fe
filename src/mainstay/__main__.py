"""The way in: `mainstay`, and `python -m mainstay`."""

from __future__ import annotations

import gc
import sys

from mainstay.errors import INTERRUPTED


def main() -> None:
    """Runs the command line. A Ctrl-C while it is still being loaded ends it as one later does: in a sentence."""
    # A library that is loaded leaves much behind that stays: to look it through for circles every 700 objects takes a
    # tenth of the time until a command begins.
    gc.set_threshold(20_000)
    try:
        from mainstay.cli.entry import main as run  # noqa: PLC0415 - what takes its time is loaded inside the `try`

        run()
    except KeyboardInterrupt:
        sys.stderr.write("Error: Interrupted.\n")
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
