"""What joining requests is worth to a slow model: a Gaussian process of scikit-learn, served as it is.

    python benchmarks/batching.py
    python benchmarks/batching.py --seconds 5 --rounds 3

Two servers of one version, of which one asks each request alone (max_batch_rows = 1); rounds alternate.
"""

import argparse
import json
import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import load
import servers
from load import Question, Rate
from sklearn.datasets import load_breast_cancer
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import mainstay
from mainstay.registry.store import Registry

PROJECT = """\
name = "cancer"
target = "y"
task = "binary"
[data]
path = "none.csv"
[columns]
"mean radius" = "number"
[serve]
max_batch_rows = {rows}
"""
HEADERS = {"Content-Type": "application/json"}
CALLERS = (1, 8, 32)


def made(folder: Path, rows: int) -> Question:
    """A project that serves the model with that bound; what it is asked."""
    folder.mkdir()
    (folder / "mainstay.toml").write_text(PROJECT.format(rows=rows), encoding="utf-8")
    table, y = load_breast_cancer(return_X_y=True, as_frame=True)
    y = y.map({0: "malignant", 1: "benign"})
    model = make_pipeline(StandardScaler(), GaussianProcessClassifier(random_state=0)).fit(table[:400], y[:400])
    kept = mainstay.register(model, name="cancer", X=table[:400], X_test=table[400:], y_test=y[400:], folder=folder)
    with Registry.open(folder / ".mainstay") as registry:
        chosen = registry.version(kept.ref)
        registry.deploy(chosen, expecting=None, actor="benchmark", override=True, reason="to be measured")
    row = {name: float(value) for name, value in table.iloc[-1].items()}
    return Question("/predict", json.dumps(row).encode(), HEADERS)


def main() -> None:
    """Measures, and says what it found as a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    bounds = {"alone": 1, "together": 128}
    found: dict[tuple[str, int], list[Rate]] = {(name, callers): [] for name in bounds for callers in CALLERS}
    with tempfile.TemporaryDirectory() as kept, ExitStack() as running:
        ports = {}
        for name, rows in bounds.items():
            asked = made(Path(kept) / name, rows)
            ports[name], _ = running.enter_context(servers.mainstay(Path(kept) / name))
            servers.ask(ports[name], asked.path, asked.body)
        for _ in range(given.rounds):
            for (name, callers), rates in found.items():
                rates.append(load.measure(ports[name], asked, connections=callers, seconds=given.seconds, cores="1"))
    lines = ["| callers | each alone | p99 | together | p99 |", "|---|---|---|---|---|"]
    for callers in CALLERS:
        cells = [f"{_rate(found[name, callers]):,.0f}/s | {_p99(found[name, callers]):.0f} ms" for name in bounds]
        lines.append(f"| {callers} | {' | '.join(cells)} |")
    sys.stdout.write("\n".join(lines) + "\n")


def _rate(rates: list[Rate]) -> float:
    return statistics.median(rate.per_second for rate in rates)


def _p99(rates: list[Rate]) -> float:
    return 1e3 * statistics.median(rate.p99 for rate in rates)


if __name__ == "__main__":
    main()
