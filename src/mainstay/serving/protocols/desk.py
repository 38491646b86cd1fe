"""What every protocol may ask of the server: which versions answer, and why one does not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import NoReturn

from mainstay.errors import did_you_mean
from mainstay.serving import metrics
from mainstay.serving.columnar.client import ColumnarClient
from mainstay.serving.follower import Follower
from mainstay.serving.models import Loaded
from mainstay.serving.protocols.codec import AGAIN, Problem
from mainstay.serving.routing import acknowledgements


class Desk:
    """The state of a worker, to be read."""

    def __init__(self, follower: Follower, run: Path) -> None:
        self._follower, self._run = follower, run
        self.draining = False
        self.columnar = ColumnarClient()
        """Reads and writes Arrow and Parquet."""

    @property
    def pool(self) -> Executor:
        """Threads for what would keep the event loop too long."""
        return self._follower.pool

    @property
    def serving(self) -> Mapping[str, Loaded]:
        """The versions that answer, by model."""
        return self._follower.serving

    @property
    def names(self) -> frozenset[str]:
        """The models that are deployed, whether they answer or not."""
        return self._follower.names

    @property
    def ready(self) -> bool:
        """Whether something answers, and goes on to."""
        return self._follower.ready and not self.draining

    def why(self, name: str) -> str:
        """Why a deployed model does not answer."""
        return self._follower.errors.get(name, "it is being loaded.")

    def model(self, name: str) -> Loaded:
        """The version that answers for a model.

        Raises:
            Problem: it is not deployed (404), or cannot answer (503).
        """
        loaded = self.serving.get(name)
        if loaded is None:
            self.missing(name)
        return loaded

    def missing(self, name: str) -> NoReturn:
        """Says why a model does not answer."""
        if name in self.names:
            raise Problem(503, f"Model {name!r} does not answer: {self.why(name)}", headers=[AGAIN])
        serving = self.serving
        hint = did_you_mean(name, serving) or (f" Deployed: {', '.join(sorted(serving))}." if serving else "")
        raise Problem(404, f"No model {name[:100]!r} is deployed.{hint}")

    def unnamed(self, path_of: Callable[[str], str]) -> NoReturn:
        """Says why a request that names no model has no answer; `path_of` gives the path that names one."""
        names = sorted(self.names)
        if len(names) > 1:
            named = ", ".join(map(path_of, names))
            raise Problem(404, f"Several models are deployed: say which, at one of {named}.")
        if names:
            self.missing(names[0])
        raise Problem(503, "No model is deployed: run mainstay deploy VERSION.", headers=[AGAIN])

    def counts(self) -> Mapping[str, Sequence[float]]:
        """The counters of all workers: numbers by label."""
        return metrics.summed(self._run / metrics.FOLDER)

    def metrics(self) -> str:
        """The counters of all workers, in Prometheus' text format."""
        pids = [said.pid for said in acknowledgements(self._run)]
        return metrics.scraped(self._run / metrics.FOLDER, pids)
