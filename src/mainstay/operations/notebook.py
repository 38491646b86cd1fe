"""`mainstay.serve`: a model answers over HTTP while a block runs, without a project."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mainstay.models.formats.objects import Given
from mainstay.models.registering import draft_of
from mainstay.operations.background import background
from mainstay.operations.deploying import deploy
from mainstay.operations.home import actor
from mainstay.operations.registries import opened


@contextmanager
def serving(
    model: Any,
    X: Any,
    *,
    name: str,
    port: int,
    trusted: tuple[str, ...],
    **said: Any,
) -> Iterator[str]:
    """As `mainstay.serve` says; `said` is what else `Given` has. The registry is a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="mainstay-") as temporary:
        folder = Path(temporary)
        built = draft_of(model, Given(X=X, trusted=trusted, **said)).built
        with opened(folder) as registry:
            version = registry.add(name, built.draft, passed=False, actor=actor(), summary={})
        deploy(folder, version.ref, reason="mainstay.serve: for this block alone", override=True)
        with background(folder, port=port, trusted=trusted) as server:
            yield server.url
