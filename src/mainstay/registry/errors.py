"""What the registry refuses, and why."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mainstay.errors import CheckFailed, MachineError, MainstayError, did_you_mean


class NoRegistry(MainstayError):
    """A project has no registry yet."""

    def __init__(self, root: Path | str) -> None:
        self.root = root
        super().__init__(
            f"There is no registry in {root} yet: run mainstay train first, or go to the project's folder."
        )


class ModelNotFound(MainstayError):
    """No model of this name was registered."""

    def __init__(self, model: str, known: Iterable[str]) -> None:
        self.model, names = model, sorted(known)
        known_ones = f" Known: {', '.join(names[:10])}{', …' if len(names) > 10 else ''}." if names else ""
        hint = did_you_mean(model, names) or known_ones or " Register one with mainstay train."
        super().__init__(f"There is no model {model!r}.{hint}")


class VersionNotFound(MainstayError):
    """The model has no such version."""

    def __init__(self, ref: str, latest: int) -> None:
        self.ref, self.latest = ref, latest
        model = ref.partition(":")[0]
        known = f"its latest is {model}:{latest}" if latest else f"{model} has no version"
        super().__init__(f"There is no version {ref}: {known}; see mainstay list {model}.")


class AliasNotFound(MainstayError):
    """The model has no such alias."""

    def __init__(self, model: str, alias: str, known: Iterable[str]) -> None:
        self.model, self.alias = model, alias
        hint = did_you_mean(alias, known) or f" See mainstay show {model}."
        super().__init__(f"{model} has no alias {alias!r}.{hint}")


class NotDeployed(MainstayError):
    """The model is not being served, so it has no champion."""

    def __init__(self, model: str) -> None:
        self.model = model
        super().__init__(f"{model} has no deployed version: run mainstay deploy {model}:NUMBER first.")


class AliasMoved(CheckFailed):
    """The alias was moved by someone else in the meantime."""

    def __init__(self, model: str, alias: str, *, expected: str | None, found: str | None, by: str | None) -> None:
        self.model, self.alias, self.expected, self.found, self.by = model, alias, expected, found, by
        where = f"points at {found}" if found else "does not exist"
        who = f" (moved by {by})" if by else ""
        super().__init__(
            f"{model}@{alias} {where}{who}, not at {expected}: read it again, then retry."
            if expected
            else f"{model}@{alias} {where} already{who}: read it again, then retry."
        )


class DeploymentMoved(CheckFailed):
    """The deployment was changed by someone else in the meantime."""

    def __init__(self, model: str, *, expected: str | None, found: str | None, by: str | None) -> None:
        self.model, self.expected, self.found, self.by = model, expected, found, by
        now = f"{found} is deployed (by {by})" if found else f"{model} is not deployed"
        super().__init__(f"{now}, not {expected or 'nothing'} as expected: look at it again, then retry.")


class NotBeside(CheckFailed):
    """The version is not, or not any more, served beside another one."""

    def __init__(self, ref: str, beside: Iterable[str]) -> None:
        self.ref, others = ref, list(beside)
        model = ref.partition(":")[0]
        now = f"served so are {', '.join(others)}" if others else f"no version of {model} is"
        super().__init__(f"{ref} is not served beside another version ({now}): look at mainstay list {model} again.")


class TakesTraffic(MainstayError):
    """The version takes its model's traffic, so it cannot be beside it, nor be taken away alone."""

    def __init__(self, ref: str) -> None:
        self.ref = ref
        model = ref.partition(":")[0]
        super().__init__(
            f"{ref} takes the traffic of {model}: deploy another version in its place, or end the serving of all "
            f"with mainstay undeploy {model}."
        )


class NotDeployable(CheckFailed):
    """The version did not pass its gates."""

    def __init__(self, ref: str) -> None:
        self.ref = ref
        super().__init__(
            f"{ref} did not pass its gates, so it is not deployed: see why with mainstay show {ref}, train a better "
            "one, or deploy it with --override and --reason, which are recorded."
        )


class UnknownRollout(MainstayError):
    """There is no rollout of this id."""

    def __init__(self, rollout: str) -> None:
        self.rollout = rollout
        super().__init__(f"There is no rollout {rollout!r} in this registry: see mainstay history MODEL.")


class NoRollout(MainstayError):
    """No rollout runs of a model."""

    def __init__(self, model: str) -> None:
        self.model = model
        super().__init__(
            f"{model} has no running rollout: start one with mainstay deploy {model}:NUMBER --strategy canary."
        )


class InRollout(CheckFailed):
    """The version has a part in a running rollout, which takes it where it belongs."""

    def __init__(self, ref: str, rollout: str) -> None:
        self.ref, self.rollout = ref, rollout
        model = ref.partition(":")[0]
        super().__init__(
            f"{ref} has a part in the running rollout of {model} ({rollout}): wait for its end, or end it with "
            f"mainstay rollback {model}."
        )


class RolloutMoved(CheckFailed):
    """The rollout was moved by someone else in the meantime, or has ended."""

    def __init__(self, ref: str, *, expected: int, found: int, state: str, why: str) -> None:
        self.ref, self.expected, self.found, self.state, self.why = ref, expected, found, state, why
        super().__init__(
            f"The rollout of {ref} is {state.replace('_', ' ')} (revision {found}: {why}), not as it was at revision "
            f"{expected}: look at it again, then retry."
        )


class NotLeading(CheckFailed):
    """Somebody else moves rollouts now, so that what this one writes is refused."""

    def __init__(self, holder: str | None, fence: int, asked: int | None) -> None:
        self.holder, self.fence, self.asked = holder, fence, asked
        who = f"{holder} moves rollouts" if holder else "Nobody moves rollouts"
        mine = "" if asked is None else f", not {asked}"
        super().__init__(
            f"{who} (fence {fence}{mine}): write nothing more with the lead that was lost, and ask for it anew."
        )


class NotAnApprover(CheckFailed):
    """The key is not one that may approve of this rollout."""

    def __init__(self, ref: str, name: str | None, approvers: Iterable[str]) -> None:
        self.ref, self.name, names = ref, name, list(approvers)
        whose = f"The key {name!r} may not" if name else "That is no key in force of this registry, so it may not"
        way = f"ask {' or '.join(names)}" if names else "it needs no approval"
        super().__init__(f"{whose} approve of the rollout of {ref}: {way}.")


class AttestationExists(MainstayError):
    """An attestation of this name is there already, and attestations never change."""

    def __init__(self, ref: str, name: str) -> None:
        self.ref, self.name = ref, name
        super().__init__(f"{ref} has another {name!r} already, and attestations never change: choose a new name.")


class IncompletePackage(MainstayError):
    """A draft lacks a file without which no version can be served."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"The package has no {name!r}, so it cannot be registered: build it again.")


class RegistryBusy(MachineError):
    """Other processes kept the database for longer than a write waits."""


class RegistryCorrupt(MachineError):
    """The database file is damaged, or is no database."""


class RegistryNewer(MainstayError):
    """The database was written by a newer Mainstay."""

    def __init__(self, path: Path | str, *, found: str, known: str) -> None:
        self.path, self.found, self.known = path, found, known
        super().__init__(
            f"{path} was written by a newer Mainstay (schema {found}; this one knows up to {known}): "
            "upgrade with pip install --upgrade mainstay."
        )


class NotARegistry(MainstayError):
    """The file is a database of something else."""

    def __init__(self, path: Path | str) -> None:
        self.path = path
        way = "move it away, then try again" if isinstance(path, Path) else "name one that is empty, or another schema"
        super().__init__(f"{path} is a database, but not a registry of Mainstay: {way}.")
