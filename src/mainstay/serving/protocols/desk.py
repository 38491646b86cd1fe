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
from mainstay.serving.protocols.codec import AGAIN, At, Problem, number_of, version_number

STABLE = "stable"
"""The label of what takes a model's traffic, where no alias has this name."""


class Desk:
    """The state of a worker, to be read."""

    def __init__(self, follower: Follower, run: Path, *, max_body: int) -> None:
        self._follower, self._run = follower, run
        self.max_body = max_body
        """Bytes of the largest body that is taken."""
        self.draining = False
        self.closed: Callable[[], bool] = lambda: False
        """Whether callers need keys."""
        self.columnar = ColumnarClient()
        """Reads and writes Arrow and Parquet."""

    @property
    def pool(self) -> Executor:
        """Threads for what would keep the event loop too long."""
        return self._follower.pool

    @property
    def serving(self) -> Mapping[str, Loaded]:
        """The versions that take the traffic and answer, by model."""
        return self._follower.serving

    @property
    def edition(self) -> int:
        """Grows with every change of what answers, and of the names it has."""
        return self._follower.edition

    def versions(self, name: str) -> Mapping[int, Loaded]:
        """The versions of a model that answer, by number, in order."""
        found = {version_number(each): each for each in self._follower.beside.values() if each.model == name}
        stable = self.serving.get(name)
        if stable is not None:
            found[version_number(stable)] = stable
        return {number: found[number] for number in sorted(found)}

    def all_versions(self) -> list[Loaded]:
        """Every version that answers, by model and number."""
        models = {*self.serving, *(each.model for each in self._follower.beside.values())}
        return [each for name in sorted(models) for each in self.versions(name).values()]

    def failing(self, name: str) -> Mapping[int, str]:
        """The versions of a model that are deployed and do not answer, by number, and why."""
        route = self._follower.routes.get(name)
        if route is None:
            return {}
        answering = self.versions(name)
        called = {number_of(ref): ref for ref in route.beside}
        if route.stable is not None:
            called[number_of(route.stable)] = name
        return {number: self.why(what) for number, what in sorted(called.items()) if number not in answering}

    def at(self, loaded: Loaded) -> At:
        """Where a version that answers is asked for."""
        stable = self.serving.get(loaded.model) is loaded
        labels = tuple(label for label, version in self.labels(loaded.model).items() if version == loaded.version)
        return At(stable, stable and len(self.serving) == len(self.names) == 1, labels)

    def labels(self, name: str) -> Mapping[str, str]:
        """The version that each label of a model names, such as "credit:2", served or not: its aliases; and `stable`,
        what takes the traffic, unless an alias is called so."""
        route, stable = self._follower.routes.get(name), self.serving.get(name)
        aliases = {} if route is None else route.aliases
        return aliases if stable is None else {STABLE: stable.version, **aliases}

    @property
    def names(self) -> frozenset[str]:
        """The models that are deployed, whether they answer or not."""
        return self._follower.names

    @property
    def registered(self) -> tuple[str, ...]:
        """The models of the registry, deployed or not."""
        table = self._follower.table
        return () if table is None else table.models

    @property
    def control(self) -> str | None:
        """Path of the socket on which the agent takes what callers ask to have changed."""
        table = self._follower.table
        return None if table is None else table.control

    @property
    def ready(self) -> bool:
        """Whether something answers, and goes on to."""
        return self._follower.ready and not self.draining

    def fails(self, name: str) -> bool:
        """Whether a model is deployed, and known not to answer."""
        return name in self._follower.errors

    def why(self, name: str) -> str:
        """Why a deployed model, or one beside by its version, does not answer."""
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

    def version(self, name: str, number: str) -> Loaded:
        """The version of a model with a number, as a path has it.

        Raises:
            Problem: it is not deployed, or its model is not (404); or it cannot answer (503).
        """
        answering = self.versions(name)
        found = next((each for known, each in answering.items() if str(known) == number), None)
        if found is not None:
            return found
        failing = self.failing(name)
        for known, why in failing.items():
            if str(known) == number:
                raise Problem(503, f"{name}:{number} does not answer: {why}", headers=[AGAIN])
        if not answering and not failing:
            self.missing(name)
        deployed = ", ".join(map(str, sorted({*answering, *failing})))
        raise Problem(404, f"Version {number[:50]} of {name} is not deployed here. Deployed: {deployed}.")

    def labelled(self, name: str, label: str) -> Loaded:
        """The version of a model that a label names.

        Raises:
            Problem: no label is called so, or what it names is not deployed (404); or it cannot answer (503).
        """
        labels = self.labels(name)
        if label not in labels:
            if name not in self.names or label == STABLE:
                self.missing(name)
            known = f" Known: {', '.join(sorted(labels))}." if labels else ""
            raise Problem(404, f"{name} has no label {label[:50]!r}.{did_you_mean(label, labels) or known}")
        return self.version(name, str(number_of(labels[label])))

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
