"""The process of a controller: moves rollouts on, holds them, and takes them back.

`mainstay up` runs it as `python -m mainstay.operations.controlling FOLDER`; `mainstay controller` is the same alone.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from mainstay.errors import MachineError, MainstayError
from mainstay.operations.process_names import ended, this_process
from mainstay.operations.registries import opened
from mainstay.rollout.controller import Controller
from mainstay.rollout.leading import Leading
from mainstay.serving.logs import logger, take_over
from mainstay.targets.local import Local

STEP = 0.2
"""Seconds between two looks at rollouts: with what servers take to follow, a verdict is carried out within one."""


def control(folder: Path, *, with_parent: bool = False, human: bool | None = None) -> None:
    """Controls the rollouts of a project's registry until SIGINT or SIGTERM.

    Args:
        with_parent: end too when standard input is closed.
        human: words rather than JSON lines in the log; by default, where it goes to a terminal.

    Raises:
        NoRegistry: nothing was ever registered here. ProjectError.
    """
    stop, log = threading.Event(), logger(human=human)

    def heard(number: int, frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, heard)
    with opened(folder, create=False) as registry:
        leading = Leading(registry, this_process(), clock=time.monotonic, gone=ended)
        controller = Controller(
            registry,
            Local(registry),
            leading,
            clock=time.monotonic,
            now=lambda: datetime.now(UTC),
            log=log,
        )
        while not stop.is_set():
            controller.step()
            _wait(stop, with_parent=with_parent)
        with suppress(MachineError):  # whoever comes next waits for its silence then
            leading.leave()


def _wait(stop: threading.Event, *, with_parent: bool) -> None:
    """Waits for the next step; the end of standard input ends all."""
    if not with_parent:
        stop.wait(STEP)
        return
    readable, _, _ = select.select([sys.stdin.fileno()], [], [], STEP)
    if readable and not os.read(sys.stdin.fileno(), 4096):
        stop.set()


def main() -> None:
    """The command line of a controller that another process keeps."""
    log = logger()
    take_over(log)
    try:
        control(Path(sys.argv[1]), with_parent=True)
    except MainstayError as error:
        log("controller", f"The controller ends: {error}", level="error")
        raise SystemExit(error.exit_code) from error


if __name__ == "__main__":
    main()
