"""Servers that the tests of a file share."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from live import Server, serving
from subjects import double, loan


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    """Two workers that serve `loan` (binary) alone."""
    with serving(tmp_path_factory.mktemp("loan"), ("loan", loan()), options=("--workers", "2")) as running:
        yield running


@pytest.fixture(scope="module")
def client(server) -> Iterator[httpx.Client]:
    with server.client() as opened:
        yield opened


@pytest.fixture(scope="module")
def two_models(tmp_path_factory) -> Iterator[Server]:
    """One worker that serves `loan` and `double` (a regression of one column)."""
    with serving(tmp_path_factory.mktemp("two"), ("loan", loan()), ("double", double())) as running:
        yield running
