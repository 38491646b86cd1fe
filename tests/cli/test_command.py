"""The real command, in processes of its own: signals, ports, two at once, a live switch."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from loan_projects import changed, project_in

from mainstay.operations.catalogue import listed
from mainstay.operations.deploying import deploy
from mainstay.operations.home import state_of
from mainstay.operations.training import train
from mainstay.registry.store import Registry

Start = Callable[..., subprocess.Popen[str]]
ROW = {"age": 30, "income": 2000.5, "purpose": "car"}


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """loans:1 is deployed, loans:2 passed with another threshold."""
    folder = project_in(tmp_path_factory.mktemp("real") / "project", search={"candidates": ("linear",), "trials": 1})
    train(folder)
    changed(folder, threshold=0.001)
    train(folder)
    deploy(folder, "loans:1")
    return folder


@contextmanager
def served(start: Start, folder: Path, *words: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    server = start(folder, "serve", "--port", "0", "--json", *words)
    try:
        assert server.stdout is not None
        yield json.loads(server.stdout.readline())["url"], server
    finally:
        server.send_signal(signal.SIGINT)
        out, err = server.communicate(timeout=60)
    assert server.returncode == 0, err
    assert out == ""
    assert "Traceback" not in err


def post(url: str, body: dict[str, Any]) -> dict[str, Any]:
    with urllib.request.urlopen(f"{url}/predict", json.dumps(body).encode(), timeout=30) as answer:
        found: dict[str, Any] = json.loads(answer.read())
    return found


def test_a_deploy_switches_a_running_server_and_returns_when_it_did(
    versions: Path, start: Start, run: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(versions)
    with served(start, versions) as (url, _):
        before = post(url, ROW)
        code, out, _ = run("deploy", "loans:2", "--json")
        after = post(url, ROW)
        done = json.loads(out)
        assert (code, done["version"], done["before"], done["servers"]) == (0, "loans:2", "loans:1", 1)
        assert done["urls"] == [url]
        assert "loans:1" in json.dumps(before)
        assert "loans:2" in json.dumps(after)  # the very next answer
        assert after["probabilities"] == before["probabilities"]
        assert after["prediction"] == "bad"  # by its threshold of 0.001
        assert run("deploy", "loans:1")[0] == 0
        assert post(url, ROW)["prediction"] == before["prediction"]


def test_a_port_in_use(versions: Path, start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = start(versions, "serve", "--port", str(taken.getsockname()[1]))
        out, err = server.communicate(timeout=60)
    assert (server.returncode, out) == (3, "")
    assert "in use" in err
    assert "Traceback" not in err


def test_a_server_ends_with_the_program_that_started_it(versions: Path) -> None:
    from mainstay.operations.background import background

    with background(versions) as server:
        assert post(server.url, ROW)["prediction"] in ("bad", "good")
        assert server.process.stdin is not None
        server.process.stdin.close()  # as the system does when this process dies
        assert server.process.wait(30) == 0
        assert not server.lives()


def test_a_package_that_was_changed_is_not_served(tmp_path: Path, start: Start) -> None:
    folder = project_in(tmp_path / "p", search={"candidates": ("linear",), "trials": 1})
    train(folder)
    deploy(folder, "loans:1")
    with Registry.open(state_of(folder)) as registry:
        package = registry.package(registry.version("loans:1"))
        blob = registry.blobs.path(package.manifest.files["model.onnx"].sha256)
    blob.chmod(0o644)
    blob.write_bytes(blob.read_bytes()[:-1] + b"?")
    from mainstay.operations.background import DidNotStart, background

    with pytest.raises(DidNotStart, match=r"model\.onnx"), background(folder):
        pass


def test_two_trainings_at_once(tmp_path: Path, start: Start) -> None:
    folder = project_in(tmp_path / "p", search={"trials": None, "budget": 60.0})
    first = start(folder, "train", "--json")
    lock = state_of(folder) / "train.lock"
    wait_for(lambda: lock.exists() and lock.stat().st_size > 0)
    second = start(folder, "train", "--json")
    out, err = second.communicate(timeout=60)
    assert second.returncode == 3
    assert f"process {first.pid}" in json.loads(out)["error"]
    assert "Traceback" not in err
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=60)
    assert first.returncode in (0, 130)


def test_a_first_interrupt_keeps_the_best_so_far(tmp_path: Path, start: Start) -> None:
    folder = project_in(tmp_path / "p", search={"trials": None, "budget": 600.0})
    training = start(folder, "train")
    assert training.stderr is not None
    stages = [training.stderr.readline() for _ in range(3)]
    assert stages[-1].startswith("Searching")
    time.sleep(2.0)  # time for a first model; what is tested does not depend on how many there are
    training.send_signal(signal.SIGINT)
    out, err = training.communicate(timeout=100)
    assert "Traceback" not in err
    found = [version.version for version in listed(folder, None, limit=9).versions]
    if training.returncode == 0:
        assert found == ["loans:1"]
        assert "best so far is kept" in err
        assert "Next: mainstay deploy loans:1" in out
    else:  # a machine so slow that there was no model yet
        assert training.returncode == 130
        assert found == []


def test_an_interrupt_before_the_search_ends_at_once(tmp_path: Path, start: Start) -> None:
    folder = project_in(tmp_path / "p", train="slow:fit", search={"trials": None})
    (folder / "slow.py").write_text(
        "import sys, time\n"
        "def fit(X, y, context):\n"
        "    print('fitting', file=sys.stderr, flush=True)\n"
        "    time.sleep(600)\n"
    )
    training = start(folder, "train", "--json")
    assert training.stderr is not None
    assert training.stderr.readline() == "fitting\n"
    training.send_signal(signal.SIGINT)
    out, err = training.communicate(timeout=60)
    assert training.returncode == 130
    assert json.loads(out) == {"error": "Interrupted.", "exit_code": 130}
    assert "Traceback" not in err
    assert listed(folder, None, limit=9).versions == []


def test_a_second_interrupt_ends_at_once_and_registers_nothing(tmp_path: Path, start: Start) -> None:
    folder = project_in(tmp_path / "p", rows=3000, search={"trials": None, "budget": 600.0, "candidates": ("svm",)})
    training = start(folder, "train")
    assert training.stderr is not None
    assert [training.stderr.readline() for _ in range(3)][-1].startswith("Searching")
    for _ in range(200):
        if training.poll() is not None:
            break
        training.send_signal(signal.SIGINT)
        time.sleep(0.02)
    _, err = training.communicate(timeout=60)
    assert training.returncode == 130
    assert "Traceback" not in err
    with Registry.open(state_of(folder)) as registry:
        assert registry.versions() == []
        assert registry.events() == []


def test_an_interrupt_at_the_end_of_an_object_is_not_lost() -> None:
    code = """
import importlib, signal, time
app = importlib.import_module("mainstay.cli.entry")

class Ends:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)
        time.sleep(0)

def run(words):
    Ends()
    time.sleep(30)

app.run = run
app.main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=25, check=False)
    assert (done.returncode, done.stderr) == (130, "")


def test_try_serves_until_it_is_interrupted(tmp_path: Path, start: Start) -> None:
    folder = project_in(tmp_path / "p", search={"candidates": ("linear",)})
    trying = start(folder, "try", "loans.csv", "--target", "class", "--trials", "1", "--port", "0", "--json")
    wait_for((state_of(folder) / "serve.log").exists)
    wait_for(lambda: [v for v in versions_of(folder) if v.deployed and v.description == "linear"])
    with Registry.open(state_of(folder)) as registry:
        wait_for(registry.members)
        (member,) = registry.members()
    assert post(member.url, ROW)["prediction"] in ("bad", "good")
    # The first interrupt may come while the search is ending; with the next, serving ends too.
    time.sleep(1.0)
    trying.send_signal(signal.SIGINT)
    out, err = trying.communicate(timeout=60)
    assert trying.returncode == 0, err
    assert json.loads(out)["version"] == "loans:2"
    assert not alive(member.pid)


def versions_of(folder: Path) -> list[Any]:
    from mainstay.registry.errors import NoRegistry

    try:
        return list(listed(folder, None, limit=9).versions)
    except NoRegistry:
        return []


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_for(condition: Callable[[], Any], seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come to pass"
        time.sleep(0.05)


@pytest.mark.long
def test_the_demo_does_the_main_job(tmp_path: Path, start: Start) -> None:
    demo = start(tmp_path, "demo", "--once", "--budget", "1")
    out, err = demo.communicate(timeout=240)
    assert demo.returncode == 0, err
    assert "Trained: tumour:1" in out
    assert "Rolled back by itself: changed: " in out
    assert "tumour:3 answers now." in out
    assert out.count("malignant") + out.count("benign") >= 10  # five rows, with the truth beside each answer
    for place in ("report", "/docs", "/metrics"):
        assert place in out
    assert "Traceback" not in err
