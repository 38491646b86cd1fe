"""Receivers: real servers in processes of their own."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent


class Receiving:
    """A receiver that can be killed, and started again on the same port."""

    def __init__(self, folder: Path) -> None:
        self.journal = folder / "journal.jsonl"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}/hook?a=b"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *answer: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "receiver.py"), str(self.port), str(self.journal), *answer]
        )
        until = time.monotonic() + 30
        while time.monotonic() < until:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        pytest.fail("the receiver did not come up")

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def heard(self) -> list[dict[str, Any]]:
        if not self.journal.exists():
            return []
        # The last line may be cut off where the receiver was killed: nobody was told that it was taken.
        whole = self.journal.read_text(encoding="utf-8").rpartition("\n")[0]
        found = []
        for line in whole.splitlines():
            try:
                found.append(json.loads(line))
            except json.JSONDecodeError:
                continue
        return found


@pytest.fixture
def receiving(tmp_path: Path) -> Iterator[Receiving]:
    made = Receiving(tmp_path)
    yield made
    made.kill()
