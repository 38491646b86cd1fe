"""Blends over HTTP: the answers are those of their parts, combined by hand."""

from __future__ import annotations

import pytest
from live import serving
from subjects import ROW, SECONDS, good, loan, native

from mainstay.models.blending import Part, Parts, build
from mainstay.models.combining import Combination
from mainstay.models.package import Draft
from mainstay.models.runtime import Model


def blend(parts: dict[str, Draft], combination: Combination) -> Draft:
    packages = {ref: each.package() for ref, each in parts.items()}
    joined = Parts([Part(ref, package, Model.load(package)) for ref, package in packages.items()])
    return build(joined, combination, decision=None, cells=None, trusted=()).draft


def test_a_blend_answers_over_http_as_its_parts_combined(tmp_path):
    weights = (0.75, 0.25)
    shifts = {"loan:1": 0.0, "loan:2": 2.0}
    one = blend({ref: loan(shift=s) for ref, s in shifts.items()}, Combination(method="weights", weights=weights))
    assert one.package().spec.format == "onnx"
    natives = {"native:1": native(), "native:2": native(strength=0.01)}
    beside = blend(natives, Combination(method="mean"))
    with serving(tmp_path, ("one", one), ("beside", beside)) as server, server.client() as client:
        for amount, purpose, place in ((1200.5, "radio/tv", 1), (None, "boat", -1), (8000, "7", 2)):
            said = client.post("/models/one/predict", json={**ROW, "amount": amount, "purpose": purpose}).json()
            expected = sum(
                weight * good(amount, place, True, SECONDS, shift)
                for weight, shift in zip(weights, shifts.values(), strict=True)
            )
            assert said["probabilities"]["good"] == pytest.approx(expected, abs=1e-12)
        wrong = client.post("/models/one/predict", json={**ROW, "age": "?"})
        assert wrong.status_code == 400 and "age" in wrong.text
        models = [Model.load(each.package()) for each in natives.values()]
        rows = [{"a": 20.0, "b": 21.0}, {"a": 1.0, "b": 30.0}]
        said = client.post("/models/beside/predict", json={"inputs": rows}).json()
        expected = sum(model.predict_proba(rows) for model in models) / 2
        found = [[shares[label] for label in ("high", "low")] for shares in said["probabilities"]]
        assert found == [pytest.approx(row, abs=1e-12) for row in expected.tolist()]
        assert server.children("mainstay.serving.host")
