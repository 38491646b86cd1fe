from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstay.registry.refs import BadName, Ref, parse

MODELS = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,62}", fullmatch=True)
ALIASES = st.from_regex(r"[a-z][a-z0-9_-]{0,62}", fullmatch=True)
REFS = st.one_of(
    st.builds(Ref, MODELS),
    st.builds(Ref, MODELS, number=st.integers(1, 999_999_999)),
    st.builds(Ref, MODELS, alias=ALIASES),
)


@given(ref=REFS)
def test_a_ref_survives_a_round_trip(ref: Ref) -> None:
    assert parse(str(ref)) == ref


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":1",
        "@live",
        "credit:",
        "credit@",
        "credit:0",
        "credit:01",
        "credit:-1",
        "credit:1.0",
        "credit:one",
        "credit:١",
        "credit:1:2",
        "credit@a:1",
        "credit@a@b",
        "credit@1",
        "credit:1\n",
        "credit@live\n",
        " credit",
        "Credit",
        "../credit",
        "credit/1",
        "credit%2f1",
        "credit:99999999999999999999",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(BadName):
        parse(text)


@given(text=st.text(max_size=30))
def test_what_is_taken_spells_itself(text: str) -> None:
    try:
        ref = parse(text)
    except BadName:
        return
    assert str(ref) == text


def test_an_alias_after_a_colon_is_seen_through() -> None:
    with pytest.raises(BadName, match="or credit@champion"):
        parse("credit:champion")
