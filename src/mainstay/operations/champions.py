"""The champion, what is deployed now, held beside a challenger on rows that neither was trained on."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np

from mainstay.errors import MainstayError
from mainstay.models.answers import Answers
from mainstay.models.package import Decision
from mainstay.models.runtime import Model
from mainstay.models.signature import Cells, Signature
from mainstay.operations.contenders import Contender, scored
from mainstay.operations.loading import loaded
from mainstay.operations.preparing import Prepared
from mainstay.operations.split_rules import rules_of, unseen_by
from mainstay.registry.store import Registry
from mainstay.training.gates import Champion
from mainstay.training.table import Mask


@dataclass(frozen=True)
class Registered:
    """A registered version as a contender."""

    model: Model

    @property
    def signature(self) -> Signature:
        return self.model.signature

    @property
    def decision(self) -> Decision | None:
        return self.model.spec.decision

    def answer(self, cells: Cells) -> Answers:
        return self.model.answer(cells)


def champion(
    registry: Registry,
    prepared: Prepared,
    challenger: Contender,
    baseline: Contender,
    *,
    unseen: Mask | None = None,
    name: str | None = None,
) -> Champion | None:
    """The deployed version and the challenger, scored on the rows that both held out; None where nothing is deployed.

    Why a champion cannot be scored is told by `trouble`, so that a gate against it fails closed.

    Args:
        unseen: the rows that the challenger was not made with; by default, those held out now.
        name: of the model whose deployed version is asked; by default, the project's.
    """
    deployment = registry.deployment(name or prepared.project.name)
    if deployment is None:
        return None
    version = deployment.version
    try:
        package = registry.package(version)
        rules = rules_of(package)
        if not rules:
            trouble = f"Its lineage does not say which rows the champion {version.ref} was trained on."
            return Champion(ref=version.ref, trouble=trouble)
        new = prepared.division.test if unseen is None else unseen
        table = prepared.table.rows(np.flatnonzero(new & unseen_by(rules, prepared.table)))
        model = Registered(loaded(prepared.folder, package))
        return Champion(
            ref=version.ref,
            champion=scored(model, table, prepared),
            challenger=msgspec.structs.replace(
                scored(challenger, table, prepared), baseline=scored(baseline, table, prepared)
            ),
        )
    except MainstayError as error:
        return Champion(ref=version.ref, trouble=f"The champion {version.ref} cannot be scored on this data: {error}")
