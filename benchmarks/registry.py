"""The registry beside MLflow's, both on SQLite on one file system: resolving an alias, moving it, registering a
version's row; and the same on an empty registry and on a full one, on SQLite and on PostgreSQL.

    python benchmarks/registry.py [--mlflow-python PYTHON] [--postgres URL] [--versions 10000] [--events 100000]

Each contestant is a process of its own (`registry_contestants.py`) with its own database in one folder. In each round
each makes the same number of calls, one after the other, in turning order; a pair's ratio is of two medians of a round.
Without `--mlflow-python`, MLflow is installed into an environment of its own first (`--mlflow-venv`), which takes
minutes and a network. Without `--postgres`, a server is started where PostgreSQL is installed.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
MLFLOW = "3.17.2"
OPERATIONS = ("resolve", "move", "register")
GOAL = 3.0
"""How many times as fast as MLflow each operation is to be."""
SLOWER = 1.5
"""A full registry may take so many times as long as an empty one before it counts as slowed down: medians of a
machine that others use too differ by tens of percent."""


class Contestant:
    """A worker process that makes calls and times them."""

    def __init__(self, python: str, kind: str, place: str, *, versions: int, events: int) -> None:
        words = [python, str(HERE / "registry_contestants.py"), kind, place, str(versions), str(events)]
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.about = self._told()["about"]

    def seconds(self, operation: str, calls: int) -> list[float]:
        """The time of each of so many calls."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"operation": operation, "calls": calls}) + "\n")
        self._process.stdin.flush()
        return self._told()["seconds"]

    def close(self) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait(60)

    def _told(self) -> dict:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self._process.args} ended with {self._process.wait()}")
        return json.loads(line)


def main() -> None:
    arguments = parsed()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=arguments.folder, prefix="registries-")))
        full = {"versions": arguments.versions, "events": arguments.events}
        empty = {"versions": 2, "events": 0}
        theirs = arguments.mlflow_python or mlflow_in(arguments.mlflow_venv)
        run = {}

        def enter(name: str, python: str, kind: str, place: str, **size: int) -> None:
            run[name] = Contestant(python, kind, place, **size)
            stack.callback(run[name].close)

        enter("mlflow, empty", theirs, "mlflow", str(folder / "mlflow-empty.db"), **empty)
        enter("mlflow, full", theirs, "mlflow", str(folder / "mlflow-full.db"), **full)
        enter("sqlite, empty", sys.executable, "mainstay", str(folder / "empty"), **empty)
        enter("sqlite, full", sys.executable, "mainstay", str(folder / "full"), **full)
        enter("sqlite, full, with files", sys.executable, "mainstay-files", str(folder / "files"), **full)
        for size, url in zip((empty, full), stack.enter_context(postgres(arguments.postgres)), strict=False):
            enter(f"postgresql, {'full' if size is full else 'empty'}", sys.executable, "mainstay", url, **size)
        print(about(run, arguments), flush=True)
        rounds = [measured(run, number, arguments.calls) for number in range(arguments.rounds + 1)][1:]  # one to warm
    sys.exit(0 if report(rounds) else 1)


def measured(run: dict[str, Contestant], number: int, calls: int) -> dict[str, dict[str, float]]:
    """The median seconds of each operation of each contestant, in one round."""
    names = list(run)
    turned = names[number % len(names) :] + names[: number % len(names)]
    return {
        operation: {name: statistics.median(run[name].seconds(operation, calls)) for name in turned}
        for operation in OPERATIONS
    }


def report(rounds: Sequence[dict[str, dict[str, float]]]) -> bool:
    """Prints the tables; whether the goals are met."""
    names = sorted(rounds[0][OPERATIONS[0]])
    print("\n| ms, median of rounds | " + " | ".join(OPERATIONS) + " |\n|---|" + "---|" * len(OPERATIONS))
    for name in names:
        cells = [
            f"{1000 * statistics.median(each[operation][name] for each in rounds):.2f}" for operation in OPERATIONS
        ]
        print(f"| {name} | " + " | ".join(cells) + " |")
    met = True
    print("\n| ratio, median of rounds (least to most) | " + " | ".join(OPERATIONS) + " |\n|---|" + "---|" * 3)
    pairs = [("mlflow, full", "sqlite, full"), ("mlflow, empty", "sqlite, full"), ("sqlite, full", "sqlite, empty")]
    if "postgresql, full" in names:
        pairs.append(("postgresql, full", "postgresql, empty"))
    for one, other in pairs:
        cells = []
        for operation in OPERATIONS:
            ratios = [each[operation][one] / each[operation][other] for each in rounds]
            middle = statistics.median(ratios)
            met &= middle >= GOAL if one.startswith("mlflow") else middle <= SLOWER
            cells.append(f"{middle:.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
        print(f"| {one} / {other} | " + " | ".join(cells) + " |")
    verdict = "met" if met else "missed"
    print(f"\nGoals (MLflow's time at least {GOAL:g} of ours; full at most {SLOWER:g} of empty): {verdict}")
    return met


def about(run: dict[str, Contestant], arguments: argparse.Namespace) -> str:
    machine = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    said = "\n".join(f"  {name}: {contestant.about}" for name, contestant in run.items())
    return (
        f"{machine}; Python {platform.python_version()}, SQLAlchemy {version('sqlalchemy')}; full: "
        f"{arguments.versions} versions, {arguments.events} events; {arguments.rounds} rounds of {arguments.calls} "
        f"calls\n{said}"
    )


def mlflow_in(folder: Path) -> str:
    """The Python of an environment with MLflow, which is made where it is not there."""
    python = folder / "bin" / "python"
    check = [str(python), "-c", f"from importlib.metadata import version; assert version('mlflow') == '{MLFLOW}'"]
    if not python.exists() or subprocess.run(check, capture_output=True, check=False).returncode:
        print(f"Installing MLflow {MLFLOW} into {folder} (minutes)", flush=True)
        venv.create(folder, with_pip=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", f"mlflow=={MLFLOW}"], check=True)
    return str(python)


@contextmanager
def postgres(url: str | None) -> Iterator[list[str]]:
    """The URLs of two empty schemas; none where there is no PostgreSQL."""
    sys.path.insert(0, str(HERE.parent / "tests"))
    import backends

    if url is None and backends.binaries() is None:
        print("PostgreSQL is not here: SQLite alone is measured")
        yield []
        return
    with ExitStack() as stack:
        server = url or stack.enter_context(backends.postgres())
        yield [stack.enter_context(backends.schema(server)) for _ in range(2)]


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mlflow-python", help="a Python that has MLflow")
    parser.add_argument("--mlflow-venv", type=Path, default=Path(tempfile.gettempdir()) / f"mlflow-{MLFLOW}")
    parser.add_argument("--postgres", help="the URL of a server, its password as ${NAME}")
    parser.add_argument("--folder", help="on the file system to measure on; by default the one of temporary files")
    parser.add_argument("--versions", type=int, default=10_000)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--calls", type=int, default=20)
    return parser.parse_args()


if __name__ == "__main__":
    main()
