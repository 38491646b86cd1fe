"""A load generator: wrk where it is installed, else plain sockets; requests per second and the slowest hundredth."""

import asyncio
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}


@dataclass(frozen=True)
class Question:
    """What is POSTed, again and again."""

    path: str
    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Rate:
    """What came of one round."""

    per_second: float
    p99: float
    """Seconds that 99 of 100 answers took at most."""


def name() -> str:
    return "wrk" if shutil.which("wrk") else "asyncio"


def measure(port: int, asked: Question, *, connections: int, seconds: float, cores: str) -> Rate:
    """Asks over kept connections, as fast as the server answers; `cores` as taskset has them.

    Raises:
        SystemExit: not every request was answered.
    """
    how = _wrk if name() == "wrk" else _sockets
    return how(port, asked, connections=connections, seconds=seconds, cores=cores)


def _wrk(port: int, asked: Question, *, connections: int, seconds: float, cores: str) -> Rate:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "body").write_bytes(asked.body)
        script = Path(folder) / "post.lua"
        lines = ['wrk.method = "POST"', f'wrk.body = io.open("{folder}/body", "rb"):read("*a")']
        lines += [f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}" for name, value in asked.headers.items()]
        script.write_text("\n".join(lines))
        command = ["taskset", "-c", cores, "wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--latency"]
        said = subprocess.run(
            [*command, "--timeout", "30s", "-s", str(script), f"http://127.0.0.1:{port}{asked.path}"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        raise SystemExit(f"The server did not answer every request:\n{said}")
    rate, slowest = re.search(r"Requests/sec:\s+([0-9.]+)", said), re.search(r"99%\s+([0-9.]+)(us|ms|s)", said)
    assert rate is not None
    assert slowest is not None
    return Rate(float(rate[1]), float(slowest[1]) * UNITS[slowest[2]])


def _sockets(port: int, asked: Question, *, connections: int, seconds: float, cores: str) -> Rate:
    head = "".join(f"{name}: {value}\r\n" for name, value in asked.headers.items())
    request = f"POST {asked.path} HTTP/1.1\r\nHost: localhost\r\n{head}Content-Length: {len(asked.body)}\r\n\r\n"
    command = ["taskset", "-c", cores, sys.executable, __file__, str(port), str(connections), str(seconds)]
    said = subprocess.run(command, input=request.encode() + asked.body, capture_output=True, check=True).stdout
    return Rate(*json.loads(said))


async def _talk(port: int, request: bytes, until: float) -> list[float]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    times = []
    while (begun := time.perf_counter()) < until:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"The server did not answer every request: {head[:200]!r}")
        found = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        assert found is not None
        await reader.readexactly(int(found[1]))
        if b"connection: close" in head.lower():
            writer.close()
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        times.append(time.perf_counter() - begun)
    writer.close()
    return times


async def _plain(port: int, request: bytes, connections: int, seconds: float) -> tuple[float, float]:
    begun = time.perf_counter()
    told = await asyncio.gather(*(_talk(port, request, begun + seconds) for _ in range(connections)))
    times = [one for each in told for one in each]
    return len(times) / (time.perf_counter() - begun), statistics.quantiles(times, n=100)[98]


if __name__ == "__main__":
    _, port, connections, seconds = sys.argv
    found = asyncio.run(_plain(int(port), sys.stdin.buffer.read(), int(connections), float(seconds)))
    sys.stdout.write(json.dumps(found))
