"""What every registry promises of API keys; part of the contract in `registry`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mainstay.registry.keys import BadKeyScope, KeyExists, KeyNotFound
from mainstay.registry.records import ApiKey
from mainstay.registry.store import Registry
from mainstay.testing.drafts import Clock


def told(registry: Registry) -> list[str]:
    return [event.kind for event in registry.events()]


def create_key(registry: Registry, key_id: str = "one", name: str = "billing", **how: Any) -> ApiKey:
    return registry.keys.create(key_id, name, sha256="a" * 64, actor="ada", **how)


class KeysContract:
    """Takes the fixtures of `RegistryContract`."""

    def test_a_key_is_kept_as_a_hash_and_told_of_without_it(self, registry: Registry, clock: Clock) -> None:
        assert (registry.keys.all(), registry.keys.edition()) == ([], 0)
        key = create_key(registry, models=("credit", "churn-*"), verbs=("read", "predict"), rate=50.0)
        assert (key.name, key.models, key.verbs, key.rate, key.burst) == (
            "billing",
            ("churn-*", "credit"),
            ("predict", "read"),
            50.0,
            50,
        )
        assert (key.actor, key.created_at, key.status(clock.now)) == ("ada", clock.now, "active")
        assert registry.keys.all() == [key] == [registry.keys.named("billing")]
        (event,) = registry.events()
        assert (event.kind, event.actor, event.evidence["name"]) == ("key_created", "ada", "billing")
        assert key.sha256 == "a" * 64 and key.sha256 not in repr((key, event))

    def test_each_change_of_a_key_is_told_and_counted(self, registry: Registry, clock: Clock) -> None:
        key = create_key(registry)
        rotated = registry.keys.rotate(key, sha256="b" * 64, grace=timedelta(hours=1), actor="grace")
        assert (rotated.id, rotated.sha256, rotated.previous_sha256) == (key.id, "b" * 64, "a" * 64)
        assert rotated.previous_until == clock.now + timedelta(hours=1)
        again = registry.keys.rotate(rotated, sha256="c" * 64, grace=timedelta(hours=1), actor="grace")
        assert (again.sha256, again.previous_sha256) == ("c" * 64, "b" * 64)
        revoked = registry.keys.revoke("billing", actor="ada", reason="gone")
        assert (revoked.revoked_at, revoked.status(clock.now)) == (clock.now, "revoked")
        assert registry.keys.edition() == 4
        assert told(registry) == ["key_created", "key_rotated", "key_rotated", "key_revoked"]
        assert registry.events()[-1].reason == "gone"

    def test_a_name_is_free_again_once_its_key_is_revoked(self, registry: Registry) -> None:
        first = create_key(registry)
        with pytest.raises(KeyExists, match="keys rotate billing"):
            create_key(registry, key_id="two")
        with pytest.raises(KeyNotFound):
            registry.keys.forget("billing", actor="ada")
        registry.keys.revoke("billing", actor="ada")
        second = create_key(registry, key_id="two")
        with pytest.raises(KeyNotFound):  # what the caller holds is another key
            registry.keys.rotate(first, sha256="d" * 64, grace=timedelta(0), actor="eve")
        assert registry.keys.forget("billing", actor="ada") == 1
        assert registry.keys.all() == [second]

    def test_keys_that_are_not_there_change_nothing(self, registry: Registry) -> None:
        create_key(registry)
        for change in (registry.keys.revoke, registry.keys.forget):
            with pytest.raises(KeyNotFound, match="biling"):
                change("biling", actor="eve")
        assert told(registry) == ["key_created"]

    @pytest.mark.parametrize(
        "wrong",
        [
            {"name": "two words"},
            {"name": ""},
            {"models": ()},
            {"models": ("Credit",)},
            {"models": ("a/b",)},
            {"verbs": ()},
            {"verbs": ("write",)},
            {"rate": 0.0},
            {"rate": float("nan")},
            {"burst": 5},
            {"expires_at": datetime(2020, 1, 1, tzinfo=UTC)},
        ],
        ids=str,
    )
    def test_a_key_that_cannot_be_meant_is_not_made(self, registry: Registry, wrong: dict[str, Any]) -> None:
        with pytest.raises(BadKeyScope):
            create_key(registry, **wrong)
        assert not registry.keys.all()
        assert not registry.events()
