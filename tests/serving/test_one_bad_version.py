"""A version that a protocol cannot describe leaves the others answering."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

from mainstay.serving import metrics
from mainstay.serving.app import App
from mainstay.serving.door import Door
from mainstay.serving.guard import Guard


class Headers(dict[str, str]):
    """Of a request, each once."""

    def get_all(self, name: str) -> list[str]:
        return [self[name]] if name in self else []


class Said(list):
    def __call__(self, kind, message, **facts):
        self.append(message)


class Speaks:
    """A protocol that one of two versions breaks."""

    name, verb = "plain", "/predict"

    def claims(self, path):
        return True

    def codecs(self, loaded, at):
        if loaded.model == "broken":
            raise RuntimeError("no paths")
        return {f"/models/{loaded.model}/predict": object()}

    def need(self, path):
        return None

    def takes_body(self, path):
        return False

    def other(self, method, path, body, given):
        return SimpleNamespace(status=204, headers=[], body=b"")


class Proto:
    def response_bytes(self, status, headers, body):
        self.status = status


def test_a_version_without_paths_is_told_of_and_the_others_are_found(tmp_path):
    said = Said()
    loaded = {name: SimpleNamespace(model=name, version=f"{name}:1") for name in ("broken", "whole")}
    follower = SimpleNamespace(
        serving=loaded, beside={}, tried={}, edition=1, routes={}, names=frozenset(loaded), pool=None
    )
    app = App(
        follower,
        metrics.Slots(tmp_path / "0.slots"),
        Guard(tmp_path, log=said),
        Door(loopback=True),
        run=tmp_path,
        max_body=100,
        log=said,
    )
    app._dialects = (Speaks(),)
    proto = Proto()
    asyncio.run(app.__rsgi__(SimpleNamespace(method="GET", path="/", headers=Headers()), proto))
    assert proto.status == 204
    assert list(app._targets) == ["/models/whole/predict"]
    assert len(said) == 1
    assert said[0].startswith("broken:1 has no paths: RuntimeError")
