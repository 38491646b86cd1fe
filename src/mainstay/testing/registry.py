"""What every registry promises, on whatever database: a subclass gives a `registry` on an empty one."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from mainstay.errors import CheckFailed, MainstayError
from mainstay.models.package import EVALUATION, GOLDEN, SIGNATURE, SPEC, Draft, PackageCorrupt
from mainstay.registry.errors import (
    AliasMoved,
    AliasNotFound,
    AttestationExists,
    DeploymentMoved,
    IncompletePackage,
    ModelNotFound,
    NotBeside,
    NotDeployable,
    NotDeployed,
    TakesTraffic,
    VersionNotFound,
)
from mainstay.registry.outbox import GIVEN_UP, Subscription
from mainstay.registry.records import Member, Version
from mainstay.registry.refs import BadName
from mainstay.registry.store import Registry
from mainstay.testing.drafts import Clock, draft
from mainstay.testing.keys import KeysContract
from mainstay.testing.rollouts import RolloutsContract


def add(
    registry: Registry, model: str = "credit", graph: str = "1", *, passed: bool = True, **of_draft: str
) -> Version:
    return registry.add(model, draft(graph, **of_draft), passed=passed, actor="ada", summary={"roc_auc": 0.8})


def kinds(registry: Registry) -> list[str]:
    return [event.kind for event in registry.events()]


class RegistryContract(KeysContract, RolloutsContract):
    """Subclass it as `TestMyDatabase`, and give it the fixture `registry`."""

    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def registry(self, clock: Clock) -> Registry:
        """On an empty database, with this clock."""
        raise NotImplementedError

    # Versions

    def test_a_version_is_found_as_it_was_added(self, registry: Registry, clock: Clock) -> None:
        added = registry.add("credit", draft("1"), passed=True, actor="ada", summary={"roc_auc": 0.8, "n": [1, None]})
        assert (added.ref, added.format, added.passed, added.actor) == ("credit:1", "onnx", True, "ada")
        assert added.summary == {"roc_auc": 0.8, "n": [1, None]}
        assert added.content_id == draft("1").manifest().content_id
        assert added.created_at == clock.now
        assert added.status == "ready"
        assert registry.version("credit:1") == added

    def test_numbers_count_per_model(self, registry: Registry) -> None:
        assert [add(registry, graph=g).number for g in "123"] == [1, 2, 3]
        assert add(registry, "churn").ref == "churn:1"
        assert registry.models() == ["churn", "credit"]

    def test_a_package_is_read_back_whole(self, registry: Registry) -> None:
        package = registry.package(add(registry))
        assert package.manifest == draft("1").manifest()
        for name, data in {**draft("1").content, **draft("1").attestations}.items():
            assert package.read(name) == data

    def test_the_same_package_twice_is_one_version(self, registry: Registry) -> None:
        first = add(registry)
        add(registry, graph="2")
        assert add(registry) == first
        assert len(registry.versions("credit")) == 2
        assert kinds(registry) == ["registered", "registered", "registered_again"]

    def test_an_attestation_added_later_does_not_make_the_same_package_another_one(self, registry: Registry) -> None:
        first = add(registry)
        registry.attest(first, "approval.json", b"yes", actor="grace")
        assert add(registry) == first

    def test_a_new_evaluation_of_the_same_content_is_a_new_version_that_says_so(self, registry: Registry) -> None:
        first, second = add(registry), add(registry, evaluation="better")
        assert (second.number, second.content_id) == (2, first.content_id)
        assert registry.events()[-1].evidence["same_content_as"] == "credit:1"
        assert registry.package(first).read(EVALUATION) == b"good"
        assert registry.package(second).read(EVALUATION) == b"better"

    def test_a_new_verdict_on_the_same_content_is_a_new_version(self, registry: Registry) -> None:
        failed, passed = add(registry, passed=False), add(registry, passed=True)
        assert (failed.number, passed.number) == (1, 2)
        assert registry.version("credit:1").status == "failed"

    def test_the_same_content_under_another_model_is_its_own_version(self, registry: Registry) -> None:
        assert add(registry, "credit").content_id == add(registry, "churn").content_id
        assert [version.ref for version in registry.versions()].count("churn:1") == 1

    @pytest.mark.parametrize("missing", [SPEC, SIGNATURE, GOLDEN, "model.onnx"])
    def test_what_could_not_be_served_is_not_registered(self, registry: Registry, missing: str) -> None:
        whole = draft()
        part = Draft({name: data for name, data in whole.content.items() if name != missing}, whole.attestations)
        with pytest.raises(IncompletePackage, match=missing):
            registry.add("credit", part, passed=True, actor="ada", summary={})
        assert registry.versions() == []

    def test_a_signature_that_cannot_be_understood_is_not_registered(self, registry: Registry) -> None:
        whole = draft()
        with pytest.raises(PackageCorrupt, match=SIGNATURE):
            registry.add("credit", Draft({**whole.content, SIGNATURE: b"{"}), passed=True, actor="ada", summary={})
        assert registry.models() == []

    def test_not_a_number_in_a_summary_is_null(self, registry: Registry) -> None:
        added = registry.add("credit", draft(), passed=True, actor="ada", summary={"roc_auc": float("nan")})
        assert added.summary == {"roc_auc": None}

    def test_a_ref_without_number_is_the_latest(self, registry: Registry) -> None:
        for graph in "123":
            latest = add(registry, graph=graph)
        assert registry.version("credit") == latest

    def test_versions_page_newest_first(self, registry: Registry, clock: Clock) -> None:
        for number in range(7):
            clock.turn(1)
            add(registry, "churn" if number % 2 else "credit", str(number))
        every = registry.versions(limit=10)
        assert [v.ref for v in every] == [
            "credit:4",
            "churn:3",
            "credit:3",
            "churn:2",
            "credit:2",
            "churn:1",
            "credit:1",
        ]
        assert registry.versions(limit=3) + registry.versions(limit=4, before=every[2]) == every
        credit = registry.versions("credit")
        assert [v.number for v in credit] == [4, 3, 2, 1]
        assert registry.versions("credit", limit=2, before=credit[1]) == credit[2:]

    def test_unknown_names_say_which_one_was_meant(self, registry: Registry) -> None:
        version = add(registry)
        registry.point("credit", "canary", version, expecting=None, actor="ada")
        with pytest.raises(ModelNotFound, match=r"Did you mean 'credit'\?"):
            registry.version("credti:1")
        with pytest.raises(VersionNotFound, match="latest is credit:1"):
            registry.version("credit:2")
        with pytest.raises(AliasNotFound, match=r"Did you mean 'canary'\?"):
            registry.version("credit@canari")
        with pytest.raises(NotDeployed, match="credit"):
            registry.version("credit@champion")
        with pytest.raises(ModelNotFound, match="nothing-like-it"):
            registry.versions("nothing-like-it")
        with pytest.raises(ModelNotFound):
            registry.aliases("nothing-like-it")

    @pytest.mark.parametrize("name", ["", "Credit", "../credit", "credit:1", "-credit", "crédit", "a" * 64, "credit\n"])
    def test_a_name_that_no_file_should_have_is_refused(self, registry: Registry, name: str) -> None:
        with pytest.raises(BadName):
            add(registry, name)

    # Attestations

    def test_attestations_are_added_and_never_changed(self, registry: Registry) -> None:
        version = add(registry)
        registry.attest(version, "approval.json", b"yes", actor="grace")
        registry.attest(version, "approval.json", b"yes", actor="grace")
        with pytest.raises(AttestationExists, match=r"approval\.json"):
            registry.attest(version, "approval.json", b"no", actor="eve")
        with pytest.raises(AttestationExists):
            registry.attest(version, EVALUATION, b"excellent", actor="eve")
        with pytest.raises(MainstayError, match="file name"):
            registry.attest(version, "../approval", b"yes", actor="eve")
        package = registry.package(version)
        assert package.read("approval.json") == b"yes"
        assert package.manifest.content_id == version.content_id
        assert kinds(registry) == ["registered", "attested"]

    # Aliases

    def test_an_alias_moves_only_from_the_expected_version(self, registry: Registry) -> None:
        one, two = add(registry, graph="1"), add(registry, graph="2")
        registry.point("credit", "live", one, expecting=None, actor="ada")
        for wrong in (None, two):
            with pytest.raises(AliasMoved, match="moved by ada"):
                registry.point("credit", "live", two, expecting=wrong, actor="eve")
        assert registry.version("credit@live") == one
        registry.point("credit", "live", two, expecting=one, actor="grace", reason="better")
        assert registry.version("credit@live") == two
        (alias,) = registry.aliases("credit")
        assert (alias.ref, alias.actor, alias.reason) == ("credit:2", "grace", "better")

    def test_each_move_is_told_once(self, registry: Registry, clock: Clock) -> None:
        one, two = add(registry, graph="1"), add(registry, graph="2")
        registry.point("credit", "live", one, expecting=None, actor="ada")
        clock.turn(60)
        registry.point("credit", "live", two, expecting=one, actor="grace", reason="better")
        registry.point("credit", "live", two, expecting=two, actor="grace")
        registry.point("credit", "live", None, expecting=two, actor="ada")
        registry.point("credit", "live", None, expecting=None, actor="ada")
        moves = [e for e in registry.events() if e.kind.startswith("alias")]
        assert [(e.kind, e.version, e.evidence["from"]) for e in moves] == [
            ("alias_moved", 1, None),
            ("alias_moved", 2, 1),
            ("alias_removed", None, 2),
        ]
        assert (moves[1].actor, moves[1].reason, moves[1].at) == ("grace", "better", clock.now)
        assert registry.aliases("credit") == []

    def test_an_alias_stays_within_its_model_and_names_what_exists(self, registry: Registry) -> None:
        credit, churn = add(registry, "credit"), add(registry, "churn")
        with pytest.raises(BadName, match="own model"):
            registry.point("credit", "live", churn, expecting=None, actor="eve")
        with pytest.raises(VersionNotFound):
            registry.point("credit", "live", replace(credit, id="gone", number=9), expecting=None, actor="eve")
        assert registry.aliases("credit") == []

    @pytest.mark.parametrize("name", ["champion", "latest", "1", "Live", "a b", ""])
    def test_reserved_and_unreadable_aliases_are_refused(self, registry: Registry, name: str) -> None:
        with pytest.raises(BadName):
            registry.point("credit", name, add(registry), expecting=None, actor="ada")

    # Deployments

    def test_the_champion_is_the_deployed_version(self, registry: Registry, clock: Clock) -> None:
        one, two = add(registry, graph="1"), add(registry, graph="2")
        deployed = registry.deploy(one, expecting=None, actor="ada", reason="first")
        assert (deployed.version.ref, deployed.generation, deployed.override) == ("credit:1", 1, False)
        assert (deployed.actor, deployed.reason, deployed.since) == ("ada", "first", clock.now)
        assert registry.version("credit@champion").status == "deployed"
        assert [(a.name, a.ref) for a in registry.aliases("credit")] == [("champion", "credit:1")]
        registry.deploy(two, expecting=one, actor="ada")
        assert registry.version("credit@champion").ref == "credit:2"
        assert registry.version("credit:1").status == "ready"
        assert registry.deployment("credit") == registry.deployments()[0]

    def test_a_deployment_changes_only_from_the_expected_version(self, registry: Registry) -> None:
        one, two = add(registry, graph="1"), add(registry, graph="2")
        with pytest.raises(DeploymentMoved, match="credit is not deployed, not credit:1 as expected"):
            registry.deploy(two, expecting=one, actor="eve")
        registry.deploy(one, expecting=None, actor="ada")
        with pytest.raises(DeploymentMoved, match=r"credit:1 is deployed \(by ada\), not nothing"):
            registry.deploy(two, expecting=None, actor="eve")
        with pytest.raises(DeploymentMoved):
            registry.undeploy("credit", expecting=two, actor="eve")
        assert registry.version("credit@champion").number == 1
        assert registry.generation() == 1

    def test_a_version_that_failed_its_gates_is_not_deployed(self, registry: Registry) -> None:
        failed = add(registry, passed=False)
        with pytest.raises(NotDeployable, match=r"credit:1 did not pass its gates") as refusal:
            registry.deploy(failed, expecting=None, actor="eve")
        assert isinstance(refusal.value, CheckFailed)
        with pytest.raises(NotDeployable):  # what the caller holds decides nothing
            registry.deploy(replace(failed, passed=True), expecting=None, actor="eve")
        assert registry.deployments() == []

    def test_an_override_is_explicit_and_told_with_its_reason(self, registry: Registry) -> None:
        failed = add(registry, passed=False)
        with pytest.raises(MainstayError, match="reason"):
            registry.deploy(failed, expecting=None, actor="ada", override=True)
        deployed = registry.deploy(failed, expecting=None, actor="ada", reason="the bank asked for it", override=True)
        assert deployed.override
        told = registry.events()[-1]
        assert (told.kind, told.actor, told.reason) == ("deployed", "ada", "the bank asked for it")
        assert (told.evidence["override"], told.evidence["passed"]) == (True, False)

    def test_an_override_that_was_not_needed_is_none(self, registry: Registry) -> None:
        assert not registry.deploy(add(registry), expecting=None, actor="ada", override=True).override

    def test_generations_count_every_change_of_every_model(self, registry: Registry) -> None:
        assert registry.generation() == 0
        credit, churn = add(registry, "credit"), add(registry, "churn")
        assert registry.generation() == 0
        assert registry.deploy(credit, expecting=None, actor="ada").generation == 1
        assert registry.deploy(churn, expecting=None, actor="ada").generation == 2
        assert registry.deploy(credit, expecting=credit, actor="ada").generation == 1  # nothing changed
        assert registry.undeploy("credit", expecting=credit, actor="ada", reason="retired") == 3
        assert [d.model for d in registry.deployments()] == ["churn"]
        assert registry.generation() == 3
        assert kinds(registry)[2:] == ["deployed", "deployed", "undeployed"]

    # Versions beside

    def test_a_version_beside_is_served_and_takes_no_traffic(self, registry: Registry, clock: Clock) -> None:
        one, two, three = (add(registry, graph=graph) for graph in "123")
        with pytest.raises(NotDeployed):
            registry.deploy_beside(two, expecting=one, actor="ada")
        registry.deploy(one, expecting=None, actor="ada")
        placed = registry.deploy_beside(three, expecting=one, actor="grace", reason="old callers")
        assert (placed.version.ref, placed.generation, placed.override) == ("credit:3", 2, False)
        assert (placed.actor, placed.reason, placed.since) == ("grace", "old callers", clock.now)
        assert registry.deploy_beside(three, expecting=one, actor="eve") == placed  # nothing changed
        registry.deploy_beside(two, expecting=one, actor="ada")
        deployment = registry.deployment("credit")
        assert deployment is not None
        assert registry.deployments() == [deployment]
        assert (deployment.generation, deployment.refs) == (1, ["credit:1", "credit:2", "credit:3"])
        assert [registry.version(f"credit:{n}").status for n in (1, 2, 3)] == ["deployed", "beside", "beside"]
        assert registry.version("credit@champion").ref == "credit:1"
        assert registry.generation() == 3
        told = registry.events()[-1]
        assert (told.kind, told.version, told.evidence["beside"]) == ("deployed_beside", 2, 1)

    def test_a_version_is_put_beside_the_expected_one_alone(self, registry: Registry) -> None:
        one, two = add(registry, graph="1"), add(registry, graph="2")
        failed = add(registry, graph="3", passed=False)
        registry.deploy(one, expecting=None, actor="ada")
        with pytest.raises(DeploymentMoved, match="credit:1 is deployed"):
            registry.deploy_beside(two, expecting=two, actor="eve")
        with pytest.raises(TakesTraffic, match="mainstay undeploy credit"):
            registry.deploy_beside(one, expecting=one, actor="eve")
        with pytest.raises(NotDeployable):
            registry.deploy_beside(failed, expecting=one, actor="eve")
        with pytest.raises(MainstayError, match="needs a reason"):
            registry.deploy_beside(failed, expecting=one, actor="eve", override=True)
        assert registry.generation() == 1
        assert registry.deploy_beside(failed, expecting=one, actor="eve", override=True, reason="asked for").override

    def test_a_version_beside_is_taken_away_as_it_was_seen(self, registry: Registry) -> None:
        one, two, three = (add(registry, graph=graph) for graph in "123")
        registry.deploy(one, expecting=None, actor="ada")
        registry.deploy_beside(three, expecting=one, actor="ada")
        seen = registry.deploy_beside(two, expecting=one, actor="ada")
        assert registry.undeploy_beside(seen, actor="ada", reason="nobody asks it") == 4
        with pytest.raises(NotBeside, match=r"credit:2 is not served beside .*credit:3"):
            registry.undeploy_beside(seen, actor="eve")
        again = registry.deploy_beside(two, expecting=one, actor="grace")
        with pytest.raises(NotBeside):  # not the one that was seen
            registry.undeploy_beside(seen, actor="eve")
        registry.deploy(two, expecting=one, actor="ada")
        with pytest.raises(TakesTraffic):
            registry.undeploy_beside(again, actor="eve")
        deployment = registry.deployment("credit")
        assert deployment is not None
        assert deployment.refs == ["credit:2", "credit:3"]  # it is not beside itself, and the other one stays
        assert kinds(registry)[-3:] == ["undeployed_beside", "deployed_beside", "deployed"]

    def test_what_is_beside_goes_with_the_one_that_takes_the_traffic(self, registry: Registry) -> None:
        one, two, churn = add(registry, graph="1"), add(registry, graph="2"), add(registry, "churn")
        registry.deploy(one, expecting=None, actor="ada")
        registry.deploy(churn, expecting=None, actor="ada")
        registry.deploy_beside(two, expecting=one, actor="ada")
        registry.undeploy("credit", expecting=one, actor="ada")
        assert registry.events()[-1].evidence["beside"] == [2]
        assert [deployment.refs for deployment in registry.deployments()] == [["churn:1"]]
        registry.deploy(one, expecting=None, actor="ada")
        assert registry.version("credit:2").status == "ready"

    def test_a_mark_changes_with_whatever_happens(self, registry: Registry) -> None:
        marks = [registry.mark()]
        one = add(registry)
        marks.append(registry.mark())
        registry.point("credit", "live", one, expecting=None, actor="ada")
        marks.append(registry.mark())
        registry.deploy(one, expecting=None, actor="ada")
        marks.append(registry.mark())
        assert len(set(marks)) == 4
        assert [generation for generation, _ in marks] == [0, 0, 0, 1]
        assert registry.mark() == marks[-1]

    # Events

    def test_events_page_oldest_first(self, registry: Registry) -> None:
        for graph in "12345":
            add(registry, "credit" if graph in "135" else "churn", graph)
        every = registry.events()
        assert [event.id for event in every] == sorted({event.id for event in every})
        assert registry.events(limit=2) + registry.events(after=every[1].id, limit=9) == every
        assert [e.version for e in registry.events("credit")] == [1, 2, 3]
        assert registry.events("credit", after=every[-1].id) == []
        assert registry.latest_events(limit=2) == every[:-3:-1]
        assert registry.latest_events(limit=9, before=every[2].id) == every[1::-1]
        assert [e.version for e in registry.latest_events("churn")] == [2, 1]

    def test_others_can_tell_what_happened_too(self, registry: Registry, clock: Clock) -> None:
        told = registry.record("train_failed", actor="ada", model="credit", reason="no rows", evidence={"rows": 0})
        (event,) = registry.events("credit")
        assert (event.id, event.at, event.kind, event.reason) == (told, clock.now, "train_failed", "no rows")
        assert (event.version, event.evidence) == (None, {"rows": 0})

    # Members

    def test_members_live_as_long_as_they_beat(self, registry: Registry, clock: Clock) -> None:
        one = Member(id="one", host="h", pid=1, url="http://127.0.0.1:8080", started_at=clock.now)
        registry.beat(one)
        clock.turn(8)
        two = replace(one, id="two", pid=2, started_at=clock.now)
        registry.beat(two)
        assert [m.id for m in registry.members()] == ["one", "two"]
        clock.turn(3)
        assert registry.members() == [replace(two, beat_at=two.started_at)]
        registry.beat(replace(one, generation=7, errors={"credit": "golden predictions differ"}))
        beaten, _ = registry.members()
        assert (beaten.generation, beaten.beat_at) == (7, clock.now)
        assert beaten.errors == {"credit": "golden predictions differ"}
        registry.leave("one")
        assert [m.id for m in registry.members(live_within=3600)] == ["two"]
        assert registry.members(now=clock.now.replace(year=2027)) == []

    def test_a_member_that_was_silent_for_a_day_is_forgotten(self, registry: Registry, clock: Clock) -> None:
        one = Member(id="one", host="h", pid=1, url="http://h", started_at=clock.now)
        registry.beat(one)
        clock.turn(2 * 86400)
        registry.beat(replace(one, id="two"))
        assert [m.id for m in registry.members(live_within=1e9)] == ["two"]

    # The outbox

    def test_deliveries_that_ended_long_ago_are_forgotten_and_their_events_are_not(
        self, registry: Registry, clock: Clock
    ) -> None:
        outbox, url = registry.outbox, "https://example.com/hook"
        outbox.subscribe("credit", [Subscription(url=url)])
        for kind in ("deployed", "deployed", "deployed"):
            registry.record(kind, actor="ann", model="credit")
        taken, refused, _ = outbox.due("credit", url, limit=10)
        outbox.delivered(taken)
        outbox.give_up(refused, "it answered 500", actor="ann")
        told = len(registry.events())
        assert outbox.prune() == 0
        clock.turn(31 * 86_400)
        assert outbox.prune() == 1
        assert outbox.standings("credit")[0].counts == {"pending": 1, "delivered": 0, "given_up": 1, "dropped": 0}
        clock.turn(60 * 86_400)
        assert outbox.prune() == 1
        assert (outbox.retry("credit"), len(outbox.due("credit", url, limit=10))) == (0, 1)
        assert len(registry.events()) == told

    def test_what_webhooks_are_due_ends_or_comes_again_and_one_tells_it(self, registry: Registry, clock: Clock) -> None:
        outbox, url = registry.outbox, "https://example.com/hook"
        outbox.subscribe("credit", [Subscription(url=url, kinds=("deployed",))])
        outbox.subscribe("other", [Subscription(url=url)])
        for kind in ("deployed", "registered", "deployed"):
            registry.record(kind, actor="ann", model="credit", evidence={"x": 1})
        first, second = outbox.due("credit", url, limit=10)
        assert len(outbox.due("other", url, limit=10)) == 3
        assert first.event.id < second.event.id and first.event.evidence == {"x": 1}
        outbox.delivered(first)
        outbox.failed(second, "it answered 500", again_at=clock() + timedelta(seconds=5))
        assert outbox.due("credit", url, limit=10) == []
        clock.turn(5)
        [again] = outbox.due("credit", url, limit=10)
        assert (again.id, again.attempts) == (second.id, 1)
        outbox.give_up(again, "it answered 500", actor="ann")
        assert registry.latest_events("credit", kinds=[GIVEN_UP])[0].evidence["attempts"] == 2
        [standing] = outbox.standings("credit")
        assert standing.counts == {"pending": 0, "delivered": 1, "given_up": 1, "dropped": 0}
        assert outbox.retry("credit") == 1
        outbox.subscribe("credit", [])
        assert outbox.due("credit", url, limit=10) == []
        assert outbox.hold("lease", "a", seconds=5) and not outbox.hold("lease", "b", seconds=5)
        clock.turn(6)
        assert outbox.hold("lease", "b", seconds=5)
        outbox.release("lease", "b")
        assert outbox.hold("lease", "a", seconds=5)
