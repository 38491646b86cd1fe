"""Who may ask for what, decided without a server."""

from __future__ import annotations

import base64
import re
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstay.registry.key_text import TEXT, hashed, id_of, new_id, new_text
from mainstay.registry.store import Registry
from mainstay.serving.access import Grant, Grants, Secret, allows, grants_of, key_in, write_grants
from mainstay.serving.guard import REMEMBERED, Guard
from mainstay.serving.protocols.codec import MANAGE, PREDICT, READ, SERVER, Need, Problem
from mainstay.serving.rates import Rates, taken

NOW = 1_000_000.0


def said(*args, **facts):
    pass


def grant(text: str, *more: Secret, **facts) -> Grant:
    known = {"models": ("*",), "verbs": (PREDICT, READ), "name": "billing", **facts}
    return Grant(id=id_of(text) or "?", secrets=(Secret(hashed(text)), *more), **known)


def guard_of(run, *grants: Grant, clock=lambda: NOW) -> Guard:
    write_grants(run, Grants(closed=True, grants={each.id: each for each in grants}))
    guard = Guard(run, log=said, clock=clock)
    guard.look()
    return guard


def status(guard: Guard, headers, verb=PREDICT, model="credit") -> int:
    try:
        guard.require(headers, verb, model)
    except Problem as problem:
        assert problem.status in (401, 403, 429)
        assert ("www-authenticate" in dict(problem.headers)) == (problem.status == 401)
        assert ("retry-after" in dict(problem.headers)) == (problem.status == 429)
        assert not re.search("msk_", str(problem))
        return problem.status
    return 200


def bearer(text: str) -> dict[str, str]:
    return {"authorization": f"Bearer {text}"}


@pytest.fixture
def text() -> str:
    return new_text(new_id())


def test_a_key_is_known_by_its_look_and_a_mistake_in_it_is_found(text) -> None:
    assert TEXT.fullmatch(text) and text.startswith("msk_") and len(text) == 66
    assert id_of(text) == text[4:16]
    for at in range(4, len(text)):
        other = text[:at] + ("1" if text[at] == "0" else "0") + text[at + 1 :]
        assert id_of(other) is None
    assert len({new_text("a" * 12) for _ in range(100)}) == 100


@given(st.text() | st.from_regex(TEXT, fullmatch=True))
def test_what_anybody_may_send_as_a_key_is_no_key(junk: str) -> None:
    assert id_of(junk) is None or TEXT.fullmatch(junk)
    for header in (junk, f"Bearer {junk}", f"Basic {junk}"):
        key_in(header, junk)


def test_a_key_is_taken_from_each_header(tmp_path, text) -> None:
    guard = guard_of(tmp_path, grant(text))
    basic = base64.b64encode(f"anna:{text}".encode()).decode()
    for right in (
        bearer(text),
        {"authorization": f"bearer  {text} "},
        {"x-api-key": text},
        {"authorization": f"Basic {basic}"},
        {"authorization": "Basic cHJveHk6c2VjcmV0", "x-api-key": text},
    ):
        for _ in range(2):
            assert status(guard, right) == 200, right
    for wrong in (
        {},
        {"authorization": text},
        {"authorization": f"Digest {text}"},
        {"authorization": "Basic /"},
        bearer(new_text(new_id())),
        bearer(new_text(id_of(text))),
        bearer(text[:-1]),
        bearer(text + "0"),
        bearer(""),
        {"x-api-key": ""},
        {"x-api-key": f"Bearer {text}"},
    ):
        assert status(guard, wrong) == 401, wrong


def test_a_key_opens_what_it_is_for_and_nothing_else(tmp_path, text) -> None:
    guard = guard_of(tmp_path, grant(text, models=("credit", "churn-*"), verbs=(PREDICT,)))
    for model in ("credit", "churn-", "churn-eu"):
        assert status(guard, bearer(text), PREDICT, model) == 200
    for model in ("credit2", "xcredit", "churn", "*", ".redit", "credit\n", None):
        assert status(guard, bearer(text), PREDICT, model) == 403
    for verb in (READ, MANAGE):
        assert status(guard, bearer(text), verb, "credit") == 403
    assert status(guard, bearer(text), READ, SERVER) == 403
    everything = guard_of(tmp_path, grant(text, verbs=(READ,)))
    assert status(everything, bearer(text), READ, None) == status(everything, bearer(text), READ, SERVER) == 200


@given(st.lists(st.text("ab*", max_size=4), max_size=3), st.text("ab", max_size=6))
def test_a_pattern_stands_for_what_it_says(patterns, model) -> None:
    one = Grant(id="i", name="n", secrets=(), models=tuple(patterns), verbs=(PREDICT,))
    expected = any(re.fullmatch(each.replace("*", "[ab]*"), model) for each in patterns)
    assert allows(one, Need(PREDICT, model)) == (expected or model == SERVER)


def test_keys_end(tmp_path, text) -> None:
    now = [NOW]
    before = new_text(id_of(text))
    key = grant(text, Secret(hashed(before), NOW + 5), until=NOW + 10)
    guard = guard_of(tmp_path, key, clock=lambda: now[0])
    assert [status(guard, bearer(each)) for each in (text, before)] == [200, 200]
    now[0] = NOW + 5
    assert [status(guard, bearer(each)) for each in (text, before)] == [200, 401]
    now[0] = NOW + 10
    assert [status(guard, bearer(each)) for each in (text, before)] == [401, 401]


def test_a_revoked_key_is_forgotten_at_the_next_look(tmp_path, text) -> None:
    guard = guard_of(tmp_path, grant(text))
    assert status(guard, bearer(text)) == 200
    write_grants(tmp_path, Grants(closed=True))
    guard.look()
    assert status(guard, bearer(text)) == 401
    assert (tmp_path / "keys.json").stat().st_mode & 0o777 == 0o600


def test_nobody_comes_in_before_the_first_look(tmp_path, text) -> None:
    guard = Guard(tmp_path, log=said)
    guard.look()
    assert not guard.knows and not guard.open
    assert status(guard, {}) == status(guard, bearer(text)) == 401


def test_without_any_key_everybody_predicts_and_nobody_manages(tmp_path, text) -> None:
    write_grants(tmp_path, Grants(closed=False))
    guard = Guard(tmp_path, log=said)
    guard.look()
    assert status(guard, {}) == status(guard, {}, READ, None) == status(guard, bearer(text)) == 200
    assert status(guard, {}, MANAGE) == status(guard, bearer(text), MANAGE) == 401


def test_what_is_remembered_is_bounded(tmp_path, text) -> None:
    guard = guard_of(tmp_path, grant(text))
    for number in range(REMEMBERED + 10):
        guard.require({"authorization": f"Bearer {' ' * number}{text}"}, PREDICT, f"m{number}")
        assert status(guard, bearer(new_text(new_id()))) == 401
    assert len(guard._bearers) <= REMEMBERED
    assert all(len(found.allowed) <= REMEMBERED for found in guard._shown.values())


def test_a_rate_is_one_for_all_workers(tmp_path, text) -> None:
    slow = grant(text, rate=0.001, burst=5)
    workers = [guard_of(tmp_path, slow) for _ in range(2)]
    assert [status(workers[turn % 2], bearer(text)) for turn in range(7)] == [200] * 5 + [429] * 2


@given(
    st.floats(0.1, 1e4),
    st.integers(1, 50),
    st.lists(st.floats(0, 2), min_size=1, max_size=60),
)
def test_no_more_is_taken_than_the_rate_gives(rate, burst, gaps) -> None:
    number, now, times = 0.0, NOW, []
    for gap in gaps:
        now += gap / rate
        number, wait = taken(number, rate, burst, now=now)
        if not wait:
            times.append(now)
        else:
            assert not taken(number, rate, burst, now=now + wait + 1e-6)[1]
    for first in range(len(times)):
        for last in range(first, len(times)):
            assert last - first + 1 <= burst + (times[last] - times[first]) * rate + 1e-3


def test_rates_outlive_a_worker(tmp_path) -> None:
    rates = Rates(tmp_path)
    assert rates.take(3, 1.0, 1, now=100.0) == 0.0
    rates.close()
    assert Rates(tmp_path).take(3, 1.0, 1, now=100.25) == pytest.approx(0.75)


def test_workers_are_told_no_secret_and_no_revoked_key(tmp_path, text) -> None:
    with Registry.open(tmp_path) as registry:
        assert not grants_of(registry.keys.all(), {}).closed
        key = registry.keys.create(id_of(text), "billing", sha256=hashed(text), actor="ada")
        write_grants(tmp_path, grants_of(registry.keys.all(), {}))
        assert text[17:] not in (tmp_path / "keys.json").read_text()
        after = new_text(key.id)
        registry.keys.rotate(key, sha256=hashed(after), grace=timedelta(minutes=5), actor="ada")
        [told] = grants_of(registry.keys.all(), {}).grants.values()
        assert [each.sha256 for each in told.secrets] == [hashed(after), hashed(text)]
        registry.keys.revoke("billing", actor="ada")
        closed = grants_of(registry.keys.all(), {})
        assert closed.closed and not closed.grants
        registry.keys.forget("billing", actor="ada")
        assert not grants_of(registry.keys.all(), {}).closed
