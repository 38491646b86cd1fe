"""The trials of a worker: made when the routing table says so, kept for as long as it says the same."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from mainstay.errors import MainstayError
from mainstay.models.package import PROFILE, Package
from mainstay.models.profile import Profile
from mainstay.registry.blobs import FolderBlobs
from mainstay.serving.follower import Follower, Tried
from mainstay.serving.logs import Log
from mainstay.serving.models import Loaded
from mainstay.serving.trials import Trial

READY = ("probe", "warm")
"""The modes in which a candidate is ready and has no part in answering."""
FIRST_RETRY, LONGEST_RETRY = 1.0, 60.0
"""Seconds before a trial that there was no room for is begun again; each time twice as long."""


class Trials:
    """By model, what is tried; shares go on where they stood while the table changes for other reasons."""

    def __init__(self, follower: Follower, log: Log) -> None:
        self._follower, self._log = follower, log
        self._kept: dict[str, tuple[Tried, Loaded, Trial]] = {}
        self._lacking: set[str] = set()
        """The models whose trials there is no room for."""
        self._again_at, self._pause = float("inf"), FIRST_RETRY

    @property
    def due(self) -> bool:
        """Whether there may be room by now for what there was none."""
        return time.monotonic() >= self._again_at

    def now(self) -> list[Trial]:
        """The trials that the worker's versions are in now."""
        follower, kept = self._follower, self._kept
        self._kept, lacked, self._lacking = {}, self._lacking, set()
        for model, tried in follower.tried.items():
            serving = follower.serving.get(model)
            if serving is None or tried.wish.mode in READY:
                continue
            found = kept.get(model)
            if found is not None and found[0] == tried and found[1] is serving:
                self._kept[model] = found
            else:
                trial = self._made(model, tried, serving, told=model in lacked)
                if trial is not None:
                    self._kept[model] = tried, serving, trial
        self._pause = min(2 * self._pause, LONGEST_RETRY) if self._lacking and lacked else FIRST_RETRY
        self._again_at = time.monotonic() + self._pause if self._lacking else float("inf")
        return [trial for _, _, trial in self._kept.values()]

    def _made(self, model: str, tried: Tried, serving: Loaded, *, told: bool) -> Trial | None:
        """`told`: that there is no room for it was said before."""
        follower, wish = self._follower, tried.wish
        table = follower.table
        edges = () if table is None else _edges(serving, Path(table.blobs))
        # Of a blue-green rollout that has switched, the version that takes the traffic is the one that is judged.
        watched = wish.mode == "watch"
        stable, candidate = (tried.loaded, serving) if watched else (serving, tried.loaded)
        try:
            return Trial(wish, stable, candidate, run=follower.run, worker=follower.worker, edges=edges)
        except ValueError:
            why = f"{stable.version} has no input column {wish.field!r}, which is to decide who has it."
        except OSError as error:
            self._lacking.add(model)
            if told:
                return None
            why = f"what it does could not be counted ({error.strerror})."
        self._log("refused", f"{wish.version} gets no requests: {why}", level="error", version=wish.version)
        return None


def _edges(loaded: Loaded, blobs: Path) -> Sequence[float]:
    """Between the bins of a regression's answers: the quantiles of its reference profile, where it has one."""
    package = Package(loaded.manifest, FolderBlobs(blobs).get)
    if loaded.signature.task != "regression" or PROFILE not in package:
        return ()
    try:
        values = package.document(PROFILE, Profile).predictions.values
    except MainstayError:
        return ()  # a damaged file of no use but for this
    return () if values is None else values.edges
