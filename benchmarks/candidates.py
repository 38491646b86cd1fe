"""A rollout that a benchmark looks after, as a controller would."""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mainstay.registry.plans import WHOLE, Plan
from mainstay.registry.rollouts import Change
from mainstay.registry.store import Registry

WITHIN = 60.0


def with_a_second_version(project: Path, folder: Path, make: Callable[[Path], object]) -> Path:
    """A copy of a project in which its model has a second version, which answers as the first does."""
    shutil.copytree(project, folder)
    make(folder)
    return folder


@contextmanager
def tried(project: Path, model: str, share: int) -> Iterator[None]:
    """Gives the second version a share (ten-thousandths) of the requests to a server that runs in the project."""
    over = threading.Event()
    with Registry.open(project / ".mainstay") as registry:
        first = registry.deployment(model)
        assert first is not None
        rollout = registry.start_rollout(
            registry.version(f"{model}:2"),
            Plan(strategy="canary", steps=(share, WHOLE)),
            expecting=first.version,
            actor="benchmark",
            reason="to be measured",
            override=True,
        )
        change = Change(state="progressing", step=0, mode="split", share=share)
        rollout = registry.move_rollout(rollout, change, actor="benchmark", why="to be measured", evidence={})

        def beat() -> None:
            while not over.wait(1.0):
                registry.note_rollout(rollout, held=0.0, verdict={})

        thread = threading.Thread(target=beat)
        thread.start()
        try:
            until = time.monotonic() + WITHIN
            while not any(member.generation >= registry.generation() for member in registry.members()):
                if time.monotonic() > until:
                    raise SystemExit("The server did not follow the rollout.")
                time.sleep(0.1)
            time.sleep(3.0)  # its lease begins with the second beat that the server sees
            yield
            counted = registry.evidence(rollout.id).steps
            if not counted or not counted[0].candidate.requests:
                raise SystemExit("The candidate had no requests.")
        finally:
            over.set()
            thread.join()
