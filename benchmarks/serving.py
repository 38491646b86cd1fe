"""Requests per second on one core, one row of JSON by name, against a bare application in the same run.

    make bench                              python benchmarks/serving.py --seconds 3 --rounds 5

The server has a core of its own and so has the load generator. Both servers are up at once; rounds alternate, so that
a slow moment of the machine meets both; medians are compared.
"""

import argparse
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import load
import numpy as np
import pandas as pd
import psutil
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

import mainstay
from mainstay.models.formats.export import Exported
from mainstay.models.formats.raw_graph import raw_graph
from mainstay.operations.background import background
from mainstay.registry.store import Registry

HERE = Path(__file__).resolve().parent
SERVER_CORE, LOAD_CORE = 0, 1
CREDIT = Path(os.environ.get("MAINSTAY_TEST_DATA", HERE.parents[1] / "shared" / "data")) / "credit.csv"


def breast_cancer(folder: Path) -> bytes:
    """30 numbers, 100 boosted trees; the row that is asked."""
    rows, y = load_breast_cancer(return_X_y=True, as_frame=True)
    y = y.map({0: "malignant", 1: "benign"})
    model = HistGradientBoostingClassifier(max_iter=100, early_stopping=False, random_state=0).fit(rows[:400], y[:400])
    mainstay.register(model, name="cancer", X=rows[:400], X_test=rows[400:], y_test=y[400:], folder=folder)
    return json.dumps(rows.iloc[500].to_dict()).encode()


def credit(folder: Path) -> bytes:
    """20 mixed columns; the row that is asked."""
    frame = pd.read_csv(CREDIT)
    y = frame.pop("class")
    texts = [name for name in frame if not pd.api.types.is_numeric_dtype(frame[name])]
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    boosted = HistGradientBoostingClassifier(max_iter=100, early_stopping=False, random_state=0)
    model = make_pipeline(make_column_transformer((codes, texts), remainder="passthrough"), boosted)
    model.fit(frame[:800], y[:800])
    mainstay.register(model, name="credit", X=frame[:800], X_test=frame[800:], y_test=y[800:], folder=folder)
    row = {name: value.item() if isinstance(value, np.generic) else value for name, value in frame.iloc[900].items()}
    return json.dumps(row).encode()


def bare_files(project: Path, name: str, folder: Path) -> None:
    """What the bare application loads: the version's own graph, with raw columns in front where there are texts."""
    with Registry.open(project / ".mainstay") as registry:
        chosen = registry.version(name)
        package = registry.package(chosen)
        registry.deploy(chosen, expecting=None, actor="benchmark", override=True, reason="to be measured")
    signature, encoder, graph = package.signature, package.encoder, package.read(package.spec.file)
    assert encoder is not None
    if any(column.type == "category" for column in signature.inputs):
        graph = raw_graph(signature, encoder, Exported(graph, encoder.dtype, {}))
    folder.mkdir()
    (folder / "model.onnx").write_bytes(graph)
    (folder / "columns.json").write_text(json.dumps([[column.name, column.type] for column in signature.inputs]))
    (folder / "labels.json").write_text(json.dumps(signature.labels))


@contextmanager
def bare(model: Path) -> Iterator[int]:
    """The bare application, on a port of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["taskset", "-c", str(SERVER_CORE), sys.executable, "-m", "granian", "--interface", "rsgi", "--no-ws"]
    command += ["--loop", "uvloop", "--http", "1", "--workers", "1", "--port", str(port), "--log-level", "error"]
    process = subprocess.Popen([*command, "bare:app"], cwd=HERE, env={**os.environ, "BARE_MODEL": str(model)})
    try:
        yield port
    finally:
        process.terminate()
        process.wait()


def ask(port: int, path: str, body: bytes, *, pause: float = 0.05) -> dict:
    """One answer, tried until the server is up."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", data=body, headers={"content-type": "application/json"}
    )
    until = time.monotonic() + 20
    while True:
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return json.load(answer)
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(pause)


def first_answer(project: Path, body: bytes) -> float:
    """Seconds from the start of `mainstay serve` to its first answer."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mainstay", "serve", "--port", str(port)]
    begun = time.perf_counter()
    process = subprocess.Popen(command, cwd=project, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        ask(port, "/predict", body, pause=0.005)
        return time.perf_counter() - begun
    finally:
        process.terminate()
        process.wait()


def compare(name: str, make, *, rounds: int, seconds: float, connections: int) -> None:
    """Measures one model and prints its line."""
    with tempfile.TemporaryDirectory() as scratch:
        project = Path(scratch) / "project"
        project.mkdir()
        body = make(project)
        bare_files(project, name, Path(scratch) / "bare")
        mine = sorted(os.sched_getaffinity(0))
        started = sorted(first_answer(project, body) for _ in range(3))[1]
        with bare(Path(scratch) / "bare") as bare_port:
            os.sched_setaffinity(0, {SERVER_CORE})  # what is started now inherits it
            with background(project) as running:
                os.sched_setaffinity(0, mine)
                port = int(running.url.rpartition(":")[2])
                theirs, ours = ask(bare_port, "/", body), ask(port, "/predict", body)
                if theirs["prediction"] != ours["prediction"]:
                    raise SystemExit(f"The two servers do not agree: {theirs} and {ours}.")
                rates: dict[str, list[float]] = {"bare": [], "mainstay": []}
                for _ in range(rounds):
                    for who, at, path in (("bare", bare_port, "/"), ("mainstay", port, "/predict")):
                        rates[who].append(
                            load.requests_per_second(
                                at, path, body, connections=connections, seconds=seconds, core=LOAD_CORE
                            )
                        )
                memory = sum(worker.memory_info().rss for worker in psutil.Process(running.pid).children())
    middle = {who: statistics.median(found) for who, found in rates.items()}
    ratios = sorted(m / b for m, b in zip(rates["mainstay"], rates["bare"], strict=True))
    print(
        f"{name:8} {len(body):5} bytes   bare {middle['bare']:8,.0f}/s   mainstay {middle['mainstay']:8,.0f}/s   "
        f"ratio {middle['mainstay'] / middle['bare']:.2f} (rounds {ratios[0]:.2f} to {ratios[-1]:.2f})"
        f"\n         first answer {started:.2f} s after the start; the worker takes {memory / 1e6:.0f} MB in the end",
        flush=True,
    )


def machine() -> str:
    """The processor and the versions that a number depends on."""
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.processor(),
    )
    libraries = ", ".join(
        f"{each} {version(each)}" for each in ("granian", "uvloop", "msgspec", "onnxruntime", "numpy")
    )
    return f"{model}, {os.cpu_count()} cores; Python {platform.python_version()}; {libraries}; load by {load.name()}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3.0, help="of one round (default 3)")
    parser.add_argument("--rounds", type=int, default=5, help="of each server (default 5)")
    parser.add_argument("--connections", type=int, default=32)
    given = parser.parse_args()
    if len(os.sched_getaffinity(0)) < 2:
        raise SystemExit("Two cores are needed: one for the server, one for the load.")
    print(machine(), flush=True)
    print(
        f"one row of JSON by name, {given.connections} connections, {given.rounds} rounds of {given.seconds:g} s",
        flush=True,
    )
    rest = {"rounds": given.rounds, "seconds": given.seconds, "connections": given.connections}
    compare("cancer", breast_cancer, **rest)
    if CREDIT.exists():
        compare("credit", credit, **rest)
    else:
        print("credit   left out: set MAINSTAY_TEST_DATA to the folder that holds credit.csv")


if __name__ == "__main__":
    main()
