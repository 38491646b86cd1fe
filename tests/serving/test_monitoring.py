"""One scrape tells of the whole server, whichever worker answers it, and whatever has died meanwhile."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import signal
import subprocess

import httpx
import psutil
import pyarrow as pa
import pytest
from columnar_bodies import body_of
from live import serving, until
from subjects import ROW, loan, native

from mainstay.serving import exposition, metrics
from mainstay.serving.columnar.messages import STREAM
from mainstay.serving.usage import Process, Usage

LINE = re.compile(r"(?P<name>[a-z_]+)(?P<labels>\{.*\})? (?P<value>[0-9.e+-]+)")

STARTS = 'mainstay_process_starts_total{process="worker"'


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """Two workers; a version inside them, and one in a host."""
    folder = tmp_path_factory.mktemp("watched")
    with serving(folder, ("loan", loan()), ("logistic", native()), options=("--workers", "2")) as running:
        yield running


@pytest.fixture(scope="module")
def callers(watched):
    """Each request comes on a connection of its own: any worker may answer."""
    limits = httpx.Limits(max_keepalive_connections=0)
    with httpx.Client(base_url=watched.url, limits=limits, timeout=30) as client:
        yield client


def scrape(callers: httpx.Client) -> dict[str, float]:
    """By metric and labels."""
    lines = [line for line in callers.get("/metrics").text.splitlines() if not line.startswith("#")]
    found = [LINE.fullmatch(line) for line in lines]
    assert all(found)
    return {each["name"] + (each["labels"] or ""): float(each["value"]) for each in found if each}


def only_grow(values: dict[str, float]) -> dict[str, float]:
    """The counters, and what histograms are made of."""
    ends = ("_total", "_count", "_sum", "_bucket")
    return {name: value for name, value in values.items() if name.split("{")[0].endswith(ends)}


def test_one_scrape_tells_of_every_process(watched, callers):
    table = pa.table({"a": [1.0], "b": [2.0]})
    with watched.client() as client:
        sent = client.post("/models/logistic/predict", content=body_of(table, STREAM), headers={"content-type": STREAM})
        assert sent.status_code == 200
    mine = psutil.Process(watched.process.pid)
    workers, (host,) = watched.workers(), watched.children("mainstay.serving.host")

    def told():
        found = scrape(callers)
        kinds = re.findall(r'mainstay_process_starts_total\{process="([a-z]+)",name="([^"]*)"\}', "\n".join(found))
        return found if {"supervisor", "worker", "host", "reader"} == {kind for kind, _ in kinds} else None

    found = until(told)
    for process, kind, name in ((mine, "supervisor", ""), (host, "host", "logistic:1")):
        labels = f'{{process="{kind}",name="{name}"}}'
        resident = found[f"mainstay_process_resident_memory_bytes{labels}"]
        assert resident == pytest.approx(process.memory_info().rss, rel=0.3)
        assert 3 <= found[f"mainstay_process_open_fds{labels}"] <= 200
        used = process.cpu_times()
        assert 0 < found[f"mainstay_process_cpu_seconds_total{labels}"] <= used.user + used.system + 0.02
    assert {name for name in found if name.startswith('mainstay_process_starts_total{process="worker"')} == {
        f'mainstay_process_starts_total{{process="worker",name="{index}"}}' for index in range(len(workers))
    }
    disk = shutil.disk_usage(watched.folder)
    assert found["mainstay_disk_size_bytes"] == disk.total
    assert 0 < found["mainstay_disk_free_bytes"] < disk.total
    assert [value for name, value in found.items() if name.startswith("mainstay_build_info{version=")] == [1]


def test_no_counter_goes_back_while_workers_die(watched, callers):
    line = 'mainstay_requests_total{model="loan",version="loan:1",protocol="plain",code="200"}'
    begun = scrape(callers)
    answered, before = 0, only_grow(begun)

    def ask() -> None:
        nonlocal answered, before
        try:
            answered += callers.post("/models/loan/predict", json=ROW).status_code == 200
            now = scrape(callers)
        except httpx.TransportError:
            return  # it was on the connection of the one that was killed
        for name, value in before.items():
            assert now[name] >= value, name
        before = only_grow(now)

    def starts() -> float:
        ask()
        return sum(value for name, value in before.items() if name.startswith(STARTS))

    for number in (0, 1):
        for _ in range(20):
            ask()
        os.kill(watched.workers()[number].pid, signal.SIGKILL)
        for _ in range(20):
            ask()
        until(lambda number=number: starts() == 3 + number)
    # A killed worker may have counted a request whose answer it could not send, or sent one before it counted.
    assert abs(before[line] - begun.get(line, 0) - answered) <= 2


def test_the_scrape_is_as_prometheus_has_it(watched):
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not here: it comes with Debian's package prometheus")
    with watched.client() as client:
        for body in ({"inputs": [ROW]}, {"a": "b"}):
            client.post("/models/loan/predict", json=body)
        text = client.get("/metrics").text
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


ACCEPTS = {
    None: "text/plain",
    "*/*": "text/plain",
    "text/html": "text/plain",
    "application/openmetrics-text": "application/openmetrics-text",
    "application/openmetrics-text; version=1.0.0, text/plain;q=0.5": "application/openmetrics-text",
    'text/plain;q=0.5, application/openmetrics-text;version="1.0.0";escaping=allow-utf-8;q=0.6': (
        "application/openmetrics-text"
    ),
    "application/openmetrics-text;q=0.3, text/plain;q=0.5": "text/plain",
    "application/openmetrics-text;q=0": "text/plain",
    "application/openmetrics-text; version=0.0.1,text/plain;version=0.0.4;q=0.5,*/*;q=0.1": "text/plain",
}


@pytest.mark.parametrize("accept", ACCEPTS)
def test_openmetrics_is_for_who_prefers_it(accept):
    assert exposition.form(accept).content_type.startswith(ACCEPTS[accept])


def test_openmetrics_tells_the_same_numbers_under_its_own_rules(watched):
    with watched.client() as client:
        client.post("/models/loan/predict", json=ROW)
        asked = client.get("/metrics", headers={"accept": "application/openmetrics-text"})
        plain = client.get("/metrics", headers={"accept": "text/plain"})
    assert asked.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert plain.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    *lines, end = asked.text.splitlines()
    assert (end, asked.text[-1]) == ("# EOF", "\n")
    suffixes = {"counter": {"_total"}, "gauge": {""}, "info": {"_info"}, "histogram": {"_bucket", "_sum", "_count"}}
    family = kind = ""
    met = set()
    for line in lines:
        if line.startswith("# TYPE "):
            _, _, family, kind = line.split(" ")
            assert family not in met
            met.add(family)
        elif not line.startswith("# HELP "):
            found = LINE.fullmatch(line)
            assert found
            assert found["name"].removeprefix(family) in suffixes[kind], line
    assert {"mainstay_requests", "mainstay_request_seconds", "mainstay_build"} <= met
    assert 'le="1.0"' in asked.text
    assert 'le="1"' in plain.text
    names = [
        {line.partition("{")[0].partition(" ")[0] for line in text.splitlines() if line[0] != "#"}
        for text in (asked.text, plain.text)
    ]
    assert names[0] == names[1]


def test_a_histogram_that_is_read_while_it_is_written_still_adds_up(tmp_path):
    slots = metrics.Slots(tmp_path / "0.slots")
    place = slots.place(metrics.SECONDS + metrics.labelled(model="m"))
    slots.observe(place, 0.003, metrics.BUCKETS)
    slots.add(place + 2, 1.0)  # of a request whose count was not read
    lines = exposition.text(metrics.summed(tmp_path)).splitlines()
    counts = [float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("mainstay_request_seconds_bucket")]
    assert all(below <= above for below, above in itertools.pairwise(counts))
    assert counts[-1] == 2
    assert 'mainstay_request_seconds_count{model="m"} 2' in lines


def test_labels_cannot_break_out_of_their_quotes(tmp_path):
    slots = metrics.Slots(tmp_path / "0.slots")
    slots.add(slots.place(metrics.REQUESTS + metrics.labelled(model='a"} 1\nb\\')), 1.0)
    assert 'mainstay_requests_total{model="a\\"} 1\\nb\\\\"} 1' in exposition.text(metrics.summed(tmp_path))


def test_a_process_that_is_gone_holds_nothing_and_its_time_counts_on(tmp_path):
    usage = Usage(metrics.Slots(tmp_path / "supervisor.slots"), tmp_path)

    def told(name: str) -> float:
        return metrics.summed(tmp_path)[f'mainstay_process_{name}{{process="worker",name="0"}}'][0]

    busy = "import sys\nfor n in range(3_000_000): pass\nprint(flush=True)\nsys.stdin.read()"
    spent = 0.0
    for number in (1, 2):
        with subprocess.Popen(["python3", "-c", busy], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            usage.sample([Process("worker", "0", process.pid)])
            assert told("cpu_seconds_total") > spent
            assert told("resident_memory_bytes") > 1_000_000
            assert told("starts_total") == number
            usage.sample([Process("worker", "0", process.pid)])
            assert told("starts_total") == number
        spent = told("cpu_seconds_total")
        usage.sample([Process("worker", "0", process.pid)])
        assert told("cpu_seconds_total") == spent
        assert told("resident_memory_bytes") == told("open_fds") == 0
