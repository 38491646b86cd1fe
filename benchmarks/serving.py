"""How fast Mainstay serves, beside a bare application and beside other servers, in one run.

    make bench                                    all of it, a quarter of an hour and 6 GB the first time
    make bench ARGS="--only single"               Mainstay and the bare application alone, two minutes
    python benchmarks/serving.py --seconds 3 --rounds 5 --peers FastAPI,MLServer

The server has a core of its own and so has the load generator. Those that are compared are up at once; rounds
alternate, so that a slow moment of the machine meets all of them; medians are compared.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import budget as budgets
import candidates
import contestants
import grpc_load
import load
import numpy as np
import processes
import servers
import subjects
from contestants import CONTESTANTS, Peer
from load import Question, Rate

SERVER, LOADER = "0", "1"
HEADERS = {"Content-Type": "application/json"}
PREDICT = "/predict"
SECTIONS = ("budget", "single", "bulk", "grpc", "workers", "candidate", "start", "peers")
SHARE = 1000
"""Of the requests, in ten-thousandths, that the candidate has."""
MADE = {"cancer": subjects.cancer, "credit": subjects.credit}


@dataclass(frozen=True)
class Given:
    """How long, and with what, is measured."""

    seconds: float
    rounds: int
    connections: int
    environments: Path
    peers: tuple[str, ...]


@dataclass(frozen=True)
class Subject:
    """A registered model, deployed, with rows to ask."""

    name: str
    rows: list[dict[str, Any]]
    project: Path
    bare: Path

    @property
    def row(self) -> dict[str, Any]:
        return self.rows[-1]

    @property
    def question(self) -> Question:
        return Question(PREDICT, json.dumps(self.row).encode(), HEADERS)


Contest = Mapping[str, tuple[int, Question]]
"""By name: a port, and what is asked there."""


def rounds(contest: Contest, given: Given, *, loader: str = LOADER, connections: int = 0) -> dict[str, list[Rate]]:
    """Each asked in turn, round by round."""
    found: dict[str, list[Rate]] = {name: [] for name in contest}
    for _ in range(given.rounds):
        for name, (port, asked) in contest.items():
            rate = load.measure(
                port, asked, connections=connections or given.connections, seconds=given.seconds, cores=loader
            )
            found[name].append(rate)
    return found


def middle(rates: Sequence[Rate], of: Callable[[Rate], float] = lambda rate: rate.per_second) -> float:
    return statistics.median(map(of, rates))


def ratios(mine: Sequence[Rate], other: Sequence[Rate], of=lambda rate: rate.per_second) -> str:
    """The median of the rounds' ratios, and their range."""
    each = sorted(of(m) / of(o) for m, o in zip(mine, other, strict=True))
    return f"{statistics.median(each):.2f} ({each[0]:.2f} to {each[-1]:.2f})"


def budget(subject: Subject, given: Given) -> None:
    """What one row costs in a worker, step by step."""
    del given
    steps = budgets.budget(subject.project, subject.name, subject.row, subject.bare)
    say(f"{subject.name}: one row, microseconds of a worker's thread", "")
    for step, taken in steps.items():
        print(f"    {step:<45}{taken:6.2f}", flush=True)


def single(subject: Subject, given: Given) -> None:
    """One row of JSON by name, beside the bare application: requests a second, and the slowest hundredth."""
    with servers.bare(subject.bare) as (theirs, _), servers.mainstay(subject.project) as (ours, _):
        asked = subject.question
        _agree(servers.shares(_said(ours, asked)), servers.shares(_said(theirs, asked)), "the bare application")
        rates = rounds({"bare": (theirs, asked), "mainstay": (ours, asked)}, given)
    mine, bare = rates["mainstay"], rates["bare"]
    say(
        f"{subject.name}: one row ({len(asked.body)} bytes)",
        f"bare {middle(bare):,.0f}/s, Mainstay {middle(mine):,.0f}/s, ratio {ratios(mine, bare)}; p99 "
        f"{_ms(bare)} and {_ms(mine)} ms, ratio {ratios(mine, bare, lambda rate: rate.p99)}",
    )


def bulk(subject: Subject, given: Given) -> None:
    """1,000 rows at once: as a binary tensor beside ONNX Runtime alone, without and with granian in front of it, which
    reads the same bytes and checks nothing; and as JSON beside FastAPI."""
    rows = (subject.rows * (1000 // len(subject.rows) + 1))[:1000]
    values = np.array([list(row.values()) for row in rows], dtype=np.float64)
    head = {
        "inputs": [
            {
                "name": "rows",
                "shape": list(values.shape),
                "datatype": "FP64",
                "parameters": {"binary_data_size": values.nbytes},
            }
        ],
        "outputs": [{"name": "probabilities", "parameters": {"binary_data": True}}],
    }
    document = json.dumps(head).encode()
    binary = Question(
        f"/v2/models/{subject.name}/infer",
        document + values.tobytes(),
        {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(document))},
    )
    with servers.mainstay(subject.project) as (ours, _), servers.bare(subject.bare, app="rows") as (bare, _):
        servers.ask(ours, PREDICT, subject.question.body)
        servers.ask(bare, "/", values.tobytes())
        alone, behind, mine = [], [], []
        # Several wait at any time: a rate with one caller would be of his own pauses too.
        many = {"connections": 4, "seconds": given.seconds, "cores": LOADER}
        for _ in range(given.rounds):
            alone.append(_alone(subject.bare, values, given.seconds))
            behind.append(load.measure(bare, binary, **many))
            mine.append(load.measure(ours, binary, **many))
        say(
            f"{subject.name}: 1,000 rows, binary tensor",
            f"ONNX Runtime alone {middle(alone):,.0f}/s, behind granian {middle(behind):,.0f}/s, Mainstay "
            f"{middle(mine):,.0f}/s, ratios {ratios(mine, alone)} and {ratios(mine, behind)}",
        )
        fastapi = CONTESTANTS[0]
        with _peer(fastapi, subject, given) as (theirs, _):
            servers.ask(theirs, "/", subject.question.body)
            asked = json.dumps(rows).encode()
            rates = rounds(
                {"them": (theirs, Question("/many", asked, HEADERS)), "us": (ours, Question(PREDICT, asked, HEADERS))},
                given,
                connections=2,
            )
        say(
            f"{subject.name}: 1,000 rows, JSON by name",
            f"{fastapi.name} {middle(rates['them']):,.1f}/s, Mainstay {middle(rates['us']):,.1f}/s, "
            f"ratio {ratios(rates['us'], rates['them'])}",
        )


def grpc(subject: Subject, given: Given) -> None:
    """One row over gRPC, beside each server that speaks the same protocol."""
    asked = grpc_load.message_of(subject.name, contestants.open_inference(subject.row))
    with servers.mainstay(subject.project, grpc=True) as (ours, _):
        right = servers.shares(_said(ours, subject.question))
        for peer in (each for each in CONTESTANTS if each.grpc):
            document = peer.body(subject.row)
            theirs_asked = grpc_load.message_of("peer", document)
            with _peer(peer, subject, given) as (theirs, _):
                servers.ask(theirs, peer.path, json.dumps(document).encode())
                _agree(grpc_load.shares(theirs + 1, theirs_asked, document["outputs"][0]["name"]), right, peer.name)
                _agree(grpc_load.shares(ours + 1, asked, "probabilities"), right, "gRPC")
                contest = {"them": (theirs + 1, theirs_asked), "us": (ours + 1, asked)}
                rates: dict[str, list[Rate]] = {name: [] for name in contest}
                for _ in range(given.rounds):
                    for name, (port, message) in contest.items():
                        many = {"connections": given.connections, "seconds": given.seconds, "cores": LOADER}
                        rates[name].append(grpc_load.measure(port, message, **many))
            them, us = rates["them"], rates["us"]
            say(
                f"{subject.name}: one row over gRPC, {peer.name} ({peer.packages[0]})",
                f"{middle(them):,.0f}/s, p99 {_ms(them)} ms; Mainstay {middle(us):,.0f}/s, p99 {_ms(us)} ms; "
                f"ratio {ratios(us, them)}",
            )


def _alone(model: Path, values: np.ndarray, seconds: float) -> Rate:
    """ONNX Runtime in a process of its own on the server's core: runs of all rows a second."""
    code = (
        "import sys, time, json, numpy as np, onnxruntime as ort\n"
        "o = ort.SessionOptions(); o.intra_op_num_threads = o.inter_op_num_threads = 1\n"
        "s = ort.InferenceSession(sys.argv[1], o, providers=['CPUExecutionProvider'])\n"
        "x = np.load(sys.argv[2]); n = 0; s.run(['probabilities'], {'features': x}); b = time.perf_counter()\n"
        "while (t := time.perf_counter() - b) < float(sys.argv[3]): s.run(['probabilities'], {'features': x}); n += 1\n"
        "print(n / t)\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "x.npy", values)
        command = ["taskset", "-c", SERVER, sys.executable, "-c", code]
        command += [str(model / "model.onnx"), str(Path(folder) / "x.npy"), str(seconds)]
        return Rate(float(subprocess.run(command, capture_output=True, check=True).stdout), 0.0)


def workers(subject: Subject, given: Given) -> None:
    """Two workers beside one, the load generator on the same two cores; and what the bare application gains by it."""
    both = f"{SERVER},{LOADER}"
    with (
        servers.mainstay(subject.project, "--workers", "1", cores=both) as one,
        servers.mainstay(subject.project, "--workers", "2", cores=both) as two,
        servers.bare(subject.bare, cores=both) as bare_one,
        servers.bare(subject.bare, cores=both, workers=2) as bare_two,
    ):
        started = {"one": one, "two": two, "bare one": bare_one, "bare two": bare_two}
        for port, _ in started.values():
            servers.ask(port, PREDICT, subject.question.body)
        before = {name: processes.used(pid) for name, (_, pid) in started.items()}
        rates = rounds({name: (port, subject.question) for name, (port, _) in started.items()}, given, loader=both)
        took = {
            name: 1e6 * (processes.used(pid) - before[name]) / (given.seconds * sum(r.per_second for r in rates[name]))
            for name, (_, pid) in started.items()
        }
    for title, first, second in (("Mainstay", "one", "two"), ("the bare application", "bare one", "bare two")):
        say(
            f"{subject.name}: {title}, two workers on two cores, the load beside them",
            f"one {middle(rates[first]):,.0f}/s, two {middle(rates[second]):,.0f}/s, "
            f"ratio {ratios(rates[second], rates[first])}; one takes {took[first]:.0f} us of processor time a request, "
            f"two {took[second]:.0f}",
        )


def candidate(subject: Subject, given: Given) -> None:
    """A candidate of the same model has a tenth of the requests, in a host process on the server's own core, beside a
    server of one version."""
    with tempfile.TemporaryDirectory() as scratch:
        other = candidates.with_a_second_version(subject.project, Path(scratch) / "tried", MADE[subject.name])
        with servers.mainstay(subject.project) as (one, _), servers.mainstay(other) as (two, _):
            asked = subject.question
            for port in (one, two):
                servers.ask(port, PREDICT, asked.body)
            with candidates.tried(other, subject.name, SHARE):
                rates = rounds({"one": (one, asked), "tried": (two, asked)}, given)
    single_version, tried = rates["one"], rates["tried"]
    say(
        f"{subject.name}: one row, a candidate with {SHARE / 100:g} % of the requests in its host process",
        f"one version {middle(single_version):,.0f}/s, with the candidate {middle(tried):,.0f}/s, ratio "
        f"{ratios(tried, single_version)}; p99 {_ms(single_version)} and {_ms(tried)} ms",
    )


def start(subject: Subject, given: Given) -> None:
    """From the start of the process to the first answer, and the memory of all its processes soon after."""
    body, found = subject.question.body, {}
    contest: dict[str, Any] = {
        "bare": (lambda: servers.bare(subject.bare), "/"),
        "Mainstay": (lambda: servers.mainstay(subject.project), PREDICT),
    }
    told: dict[str, list[tuple[float, float]]] = {name: [] for name in contest}
    for _ in range(given.rounds):
        for name, (start_one, path) in contest.items():
            told[name].append(servers.first_answer(start_one(), path, body))
    for name, each in told.items():
        found[name] = statistics.median(t for t, _ in each), statistics.median(m for _, m in each)
    (slow, much), (mine, own) = found["bare"], found["Mainstay"]
    say(
        f"{subject.name}: start to first answer, and memory of all processes",
        f"bare {slow:.2f} s, {much / 1e6:.0f} MB; Mainstay {mine:.2f} s, {own / 1e6:.0f} MB; "
        f"ratios {mine / slow:.1f} and {own / much:.1f}",
    )


def peers(subject: Subject, given: Given) -> None:
    """One row of JSON beside each of the other servers."""
    with servers.mainstay(subject.project) as (ours, _):
        right = servers.shares(_said(ours, subject.question))
        for peer in CONTESTANTS:
            if given.peers and not any(wanted.lower() in peer.name.lower() for wanted in given.peers):
                continue
            _against(peer, subject, given, ours, right)


def _against(peer: Peer, subject: Subject, given: Given, ours: int, right: Sequence[float]) -> None:
    asked = Question(peer.path, json.dumps(peer.body(subject.row)).encode(), HEADERS)
    title = f"{subject.name}: one row, {peer.name} ({peer.packages[0]})"
    try:
        with _peer(peer, subject, given) as (theirs, pid):
            said = json.loads(servers.ask(theirs, asked.path, asked.body))
            _agree(peer.shares(said), right, peer.name)
            rates = rounds({"them": (theirs, asked), "us": (ours, subject.question)}, given)
            memory = processes.memory(pid)
    except (OSError, subprocess.CalledProcessError) as error:
        say(title, f"left out, for it does not start here: {error}")
        return
    them, us = rates["them"], rates["us"]
    say(
        title,
        f"{middle(them):,.0f}/s, p99 {_ms(them)} ms, {memory / 1e6:.0f} MB; Mainstay {middle(us):,.0f}/s, "
        f"p99 {_ms(us)} ms; ratio {ratios(us, them)}",
    )


def _peer(peer: Peer, subject: Subject, given: Given):
    binaries = contestants.environment(peer, given.environments)
    folder = subject.bare.parent / f"peer-{peer.packages[0].split('==')[0]}"
    folder.mkdir(exist_ok=True)
    (folder / "row.json").write_text(json.dumps(subject.row))
    return contestants.running(
        peer, binaries, folder, subject.name, subjects.CREDIT, core=int(SERVER), onnx=subject.bare
    )


def _said(port: int, asked: Question) -> dict[str, Any]:
    return dict(json.loads(servers.ask(port, asked.path, asked.body)))


def _agree(theirs: Sequence[float], ours: Sequence[float], who: str) -> None:
    if not np.allclose(theirs, ours, rtol=0, atol=1e-6):
        raise SystemExit(f"{who} does not give the same answer: {theirs}, and {ours}.")


def _ms(rates: Sequence[Rate]) -> str:
    return f"{1000 * middle(rates, lambda rate: rate.p99):.2f}"


def say(title: str, line: str) -> None:
    print(f"- {title}: {line}", flush=True)


def machine() -> str:
    """The processor and the versions that a number depends on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":", 1)[1].strip() for line in lines if "model name" in line), platform.processor())
    libraries = ", ".join(
        f"{each} {version(each)}" for each in ("granian", "uvloop", "msgspec", "onnxruntime", "numpy")
    )
    return f"{model}, {os.cpu_count()} cores; Python {platform.python_version()}; {libraries}; load by {load.name()}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3.0, help="of one round (default 3)")
    parser.add_argument("--rounds", type=int, default=5, help="of each server (default 5)")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--only", default=",".join(SECTIONS), help=f"of {', '.join(SECTIONS)}")
    parser.add_argument("--peers", default="", help="parts of names; all of them by default")
    parser.add_argument("--environments", type=Path, default=Path(".venv-peers"), help="where the peers are installed")
    said = parser.parse_args()
    if len(os.sched_getaffinity(0)) < 2:
        raise SystemExit("Two cores are needed: one for the server, one for the load.")
    wanted = said.only.split(",")
    if unknown := set(wanted) - set(SECTIONS):
        raise SystemExit(f"There is no part {min(unknown)!r}: choose of {', '.join(SECTIONS)}.")
    names = tuple(name for name in said.peers.split(",") if name)
    given = Given(said.seconds, said.rounds, said.connections, said.environments.absolute(), names)
    print(machine(), flush=True)
    print(f"{given.connections} connections, {given.rounds} rounds of {given.seconds:g} s", flush=True)
    made = {name: make for name, make in MADE.items() if name != "credit" or subjects.CREDIT.exists()}
    if "credit" not in made:
        print("credit is left out: set MAINSTAY_TEST_DATA to the folder that holds credit.csv")
    parts = {
        "budget": budget,
        "single": single,
        "bulk": bulk,
        "grpc": grpc,
        "workers": workers,
        "candidate": candidate,
        "start": start,
        "peers": peers,
    }
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as at_end:
        at_end.callback(sys.stdout.flush)
        for name, make in made.items():
            folder = Path(scratch) / name
            (folder / "project").mkdir(parents=True)
            rows = make(folder / "project")
            subjects.bare_files(folder / "project", name, folder / "bare")
            subject = Subject(name, rows, folder / "project", folder / "bare")
            for part in wanted:
                if part != "bulk" or name == "cancer":
                    parts[part](subject, given)


if __name__ == "__main__":
    main()
