"""What callers of a running server may have changed: a model loaded or unloaded, as `deploy` and `undeploy` do it."""

from __future__ import annotations

from pathlib import Path

from mainstay.errors import CheckFailed
from mainstay.operations.deploying import DidNotComeUp, acknowledged, ready_here, switch
from mainstay.operations.operator import admitted
from mainstay.operations.rollouts import NothingToStartFrom, rollout_table
from mainstay.operations.telling import subscribe
from mainstay.operations.undeploying import end
from mainstay.registry.errors import ModelNotFound
from mainstay.registry.records import Deployment, Version
from mainstay.registry.store import Registry
from mainstay.serving.management import ANSWERS_WITHIN
from mainstay.serving.protocols.codec import Wish

AT_ONCE = 100
"""Versions that are read at once."""


class NothingToLoad(CheckFailed):
    """No version of the model has passed its gates."""

    def __init__(self, model: str) -> None:
        super().__init__(f"No version of {model} passed its gates: train a better one, or deploy one with --override.")


class Manager:
    """Brings wishes about in the registry of one project."""

    def __init__(self, folder: Path, registry: Registry, *, timeout: float = ANSWERS_WITHIN) -> None:
        """`timeout` is how many seconds running servers have to acknowledge."""
        self._folder, self._registry, self._timeout = folder, registry, timeout

    def __call__(self, wish: Wish) -> None:
        """Loads or unloads a model, and returns when every worker of every running server has acknowledged.

        What is deployed already stays as it is, since a version never changes; else the newest version that passed its
        gates is deployed. Unloading ends the serving of all its versions.

        Raises:
            ModelNotFound, NothingToLoad; NothingToStartFrom: it would have to be approved; and as `deploy` and
                `undeploy`.
        """
        registry, model = self._registry, wish.model
        subscribe(self._folder, registry)
        if model not in (known := registry.models()):
            raise ModelNotFound(model, known)
        deployment = registry.deployment(model)
        if wish.verb == "unload":
            if deployment is not None:
                end(registry, deployment, reason=wish.reason, timeout=self._timeout, by=wish.actor)
        elif deployment is not None:
            self._check_up(deployment)
        else:
            self._deploy(self._newest(model), wish)

    def _deploy(self, version: Version, wish: Wish) -> None:
        """What [rollout] asks of a version is asked of one that callers load too."""
        registry, said = self._registry, rollout_table(self._folder)
        if said.require_approval or said.freeze:
            raise NothingToStartFrom(version)
        ready_here(self._folder, admitted(self._folder, registry, version))
        switch(registry, version, None, reason=wish.reason, override=False, timeout=self._timeout, by=wish.actor)

    def _check_up(self, deployment: Deployment) -> None:
        """Raises DidNotComeUp where a server does not answer with what is deployed, NotAcknowledged if it is late."""
        version = deployment.version
        members = acknowledged(self._registry, deployment.generation, self._timeout, what=f"{version.ref} is deployed")
        for member in members:
            if why := member.errors.get(version.model):
                raise DidNotComeUp(f"{version.ref} is deployed, and does not answer on {member.url}: {why}")

    def _newest(self, model: str) -> Version:
        before: Version | None = None
        while page := self._registry.versions(model, limit=AT_ONCE, before=before):
            found = next((version for version in page if version.passed), None)
            if found is not None:
                return found
            before = page[-1]
        raise NothingToLoad(model)
