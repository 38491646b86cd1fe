"""A load generator for one core: wrk where it is installed, else plain sockets; requests per second."""

import asyncio
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def name() -> str:
    return "wrk" if shutil.which("wrk") else "asyncio"


def requests_per_second(port: int, path: str, body: bytes, *, connections: int, seconds: float, core: int) -> float:
    """POSTs `body` over kept connections, as fast as the server answers."""
    if name() == "wrk":
        return _wrk(port, path, body, connections=connections, seconds=seconds, core=core)
    command = ["taskset", "-c", str(core), sys.executable, __file__, str(port), path, str(connections), str(seconds)]
    return float(subprocess.run(command, input=body, capture_output=True, check=True).stdout)


def _wrk(port: int, path: str, body: bytes, *, connections: int, seconds: float, core: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "body").write_bytes(body)
        script = Path(folder) / "post.lua"
        script.write_text(
            f'wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\n'
            f'wrk.body = io.open("{folder}/body", "rb"):read("*a")\n'
        )
        command = ["taskset", "-c", str(core), "wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "-s", str(script)]
        said = subprocess.run(
            [*command, f"http://127.0.0.1:{port}{path}"], capture_output=True, text=True, check=True
        ).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        raise SystemExit(f"The server did not answer every request:\n{said}")
    found = re.search(r"Requests/sec:\s+([0-9.]+)", said)
    assert found is not None
    return float(found[1])


async def _talk(port: int, request: bytes, until: float) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answered = 0
    while time.perf_counter() < until:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"The server did not answer every request: {head[:200]!r}")
        found = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        assert found is not None
        await reader.readexactly(int(found[1]))
        answered += 1
    writer.close()
    return answered


async def _plain(port: int, path: str, body: bytes, connections: int, seconds: float) -> float:
    request = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body
    begun = time.perf_counter()
    answered = await asyncio.gather(*(_talk(port, request, begun + seconds) for _ in range(connections)))
    return sum(answered) / (time.perf_counter() - begun)


if __name__ == "__main__":
    _, port, path, connections, seconds = sys.argv
    rate = asyncio.run(_plain(int(port), path, sys.stdin.buffer.read(), int(connections), float(seconds)))
    sys.stdout.write(f"{rate}\n")
