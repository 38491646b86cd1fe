"""The other servers that are measured: each in an environment of its own, with one worker, on the server's core.

All serve what `peers/learned.py` trains, and answer the probabilities of one row; the body is what each takes at its
plainest. Versions are exact, so that a number can be had again.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import processes

PEERS = Path(__file__).resolve().parent / "peers"
LEARNING = ("scikit-learn==1.9.1", "pandas==3.1.1", "numpy==2.4.6")
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Peer:
    """One server."""

    name: str
    packages: tuple[str, ...]
    command: Callable[[Path, int], list[str]]
    """The words after the environment's `bin` folder, for a model's folder and a port."""
    path: str = "/"
    body: Callable[[Row], Any] = dict
    shares: Callable[[Any], list[float]] = lambda said: list(said["probabilities"].values())
    """The probabilities, in the order of the labels."""
    before: Callable[[Path, int], list[str]] | None = None
    """A command that writes what the server loads."""
    variables: Mapping[str, str] = field(default_factory=dict)
    grpc: bool = False
    """Whether it listens for gRPC, one port above."""


def _split(row: Row) -> dict[str, Any]:
    return {"dataframe_split": {"columns": list(row), "data": [list(row.values())]}}


def open_inference(row: Row) -> dict[str, Any]:
    """A row as a request of the Open Inference Protocol."""
    if all(isinstance(value, float | int) for value in row.values()):
        values = [float(value) for value in row.values()]
        return {"inputs": [{"name": "rows", "shape": [1, len(values)], "datatype": "FP64", "data": values}]}
    kinds = {str: ("BYTES", {"content_type": "str"}), int: ("INT64", None), float: ("FP64", None)}
    inputs = []
    for name, value in row.items():
        datatype, parameters = kinds[type(value)]
        one = {"name": name, "shape": [1, 1], "datatype": datatype, "data": [value]}
        inputs.append(one | ({"parameters": parameters} if parameters else {}))
    return {"parameters": {"content_type": "pd"}, "inputs": inputs}


def _mlserver(folder: Path, port: int) -> list[str]:
    """MLServer reads its settings from the folder; its own process computes, which is quicker on one core."""
    settings = {
        "host": "127.0.0.1",
        "http_port": port,
        "grpc_port": port + 1,
        "metrics_port": port + 2,
        "parallel_workers": 0,
        "debug": False,
        "load_models_at_startup": True,
    }
    model = {
        "name": "peer",
        "implementation": "mlserver_sklearn.SKLearnModel",
        "parameters": {"uri": str(folder / "model.joblib")},
        "outputs": [{"name": "predict_proba", "datatype": "FP64", "shape": [-1, 2]}],
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "model-settings.json").write_text(json.dumps(model))
    return ["mlserver", "start", str(folder)]


FASTAPI = ("fastapi==0.165.0", "uvicorn[standard]==0.54.0", "onnxruntime==1.31.1", *LEARNING)
_UVICORN = ["--host", "127.0.0.1", "--workers", "1", "--log-level", "error", "--no-access-log"]
CONTESTANTS = (
    Peer(
        "FastAPI + scikit-learn",
        FASTAPI,
        lambda _, port: ["uvicorn", "fastapi_app:app", *_UVICORN, "--port", str(port)],
    ),
    Peer(
        "FastAPI + ONNX Runtime",
        FASTAPI,
        lambda _, port: ["uvicorn", "fastapi_onnx_app:app", *_UVICORN, "--port", str(port)],
    ),
    Peer(
        "Flask + gunicorn",
        ("flask==3.1.3", "gunicorn==27.0.1", *LEARNING),
        lambda _, port: ["gunicorn", "-w", "1", "-b", f"127.0.0.1:{port}", "--keep-alive", "30", "flask_app:app"],
    ),
    Peer(
        "MLServer",
        ("mlserver==1.7.1", "mlserver-sklearn==1.7.1", *LEARNING),
        _mlserver,
        path="/v2/models/peer/infer",
        body=lambda row: open_inference(row) | {"outputs": [{"name": "predict_proba"}]},
        shares=lambda said: said["outputs"][0]["data"],
        grpc=True,
    ),
    Peer(
        "BentoML",
        ("bentoml==1.4.39", *LEARNING),
        lambda _, port: ["bentoml", "serve", "bento_service:Served", "--host", "127.0.0.1", "--port", str(port)],
        path="/predict",
        body=lambda row: {"row": dict(row)},
        variables={"BENTOML_DO_NOT_TRACK": "true"},
    ),
    Peer(
        "LitServe",
        ("litserve==0.2.19", *LEARNING),
        lambda _, port: ["python", "lit_app.py", str(port)],
        path="/predict",
        variables={"LIT_SERVER_API_KEY": ""},
    ),
    Peer(
        "mosec",
        ("mosec==0.9.8", *LEARNING),
        lambda _, port: ["python", "mosec_app.py", "--port", str(port)],
        path="/inference",
    ),
    Peer("Ray Serve", ("ray[serve]==2.60.0", *LEARNING), lambda _, port: ["python", "ray_app.py", str(port)]),
    Peer(
        "MLflow",
        ("mlflow==3.17.2", *LEARNING),
        lambda folder, port: [
            *("mlflow", "models", "serve", "-m", str(folder / "mlflow"), "--env-manager", "local"),
            *("-h", "127.0.0.1", "-p", str(port), "-w", "1"),
        ],
        path="/invocations",
        body=_split,
        shares=lambda said: list(said["predictions"][0]),
        before=lambda folder, _: ["python", "mlflow_folder.py", str(folder)],
    ),
)


def environment(peer: Peer, root: Path) -> Path:
    """The `bin` folder of a peer's environment, made where there is none. Raises CalledProcessError."""
    folder = root / "-".join(peer.packages[0].replace("[", "-").replace("]", "").split("=="))
    stamp = folder / ".ready"
    if not stamp.exists() or stamp.read_text() != "\n".join(peer.packages):
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        command = [folder / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*command, *peer.packages], check=True)
        stamp.write_text("\n".join(peer.packages))
    return folder / "bin"


@contextmanager
def running(
    peer: Peer, binaries: Path, model: Path, subject: str, data: Path, *, core: int, onnx: Path
) -> Iterator[tuple[int, int]]:
    """The peer on a free port and a core, and its process id; its whole group is ended afterwards.

    Args:
        model: folder with `row.json`; the model is trained into it where it is not there.
        onnx: folder of the bare application's graph.
    """
    seen = {**os.environ, "PEER_MODEL": str(model), "BARE_MODEL": str(onnx), "PYTHONPATH": str(PEERS), **peer.variables}
    seen |= {"PATH": f"{binaries}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    if not (model / "model.joblib").exists():
        learn = [binaries / "python", PEERS / "learned.py", subject, data, model]
        subprocess.run(learn, check=True, env=seen)
    port = processes.free_ports(3)
    if peer.before is not None:
        first, *rest = peer.before(model, port)
        subprocess.run([binaries / first, *rest], check=True, env=seen, cwd=PEERS, capture_output=True)
    first, *rest = peer.command(model, port)
    command = ["taskset", "-c", str(core), str(binaries / first), *rest]
    with processes.group(command, cwd=PEERS, env=seen) as pid:
        yield port, pid
