"""What every store of blobs promises: a subclass gives a `blobs` on an empty one."""

from __future__ import annotations

import hashlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from mainstay.registry.blobs import Blobs

_SOON = timedelta(days=1)
"""A store's clock is not this machine's: a day is more than they differ."""


class BlobsContract:
    """Subclass it as `TestMyBlobs`, and give it the fixture `blobs`."""

    @pytest.fixture
    def blobs(self) -> Blobs:
        """An empty store."""
        raise NotImplementedError

    @pytest.mark.parametrize("data", [b"", b"x", bytes(range(256)) * 50_000], ids=["empty", "a byte", "12 MB"])
    def test_a_blob_is_read_back_as_it_was_put(self, blobs: Blobs, data: bytes) -> None:
        sha = hashlib.sha256(data).hexdigest()
        assert not blobs.has(sha)
        assert blobs.put(data) == blobs.put(data) == sha
        assert blobs.has(sha)
        assert blobs.get(sha) == data

    def test_the_same_bytes_are_one_blob(self, blobs: Blobs) -> None:
        for data in (b"1", b"22", b"1"):
            blobs.put(data)
        assert {each.sha: each.size for each in blobs.listed()} == {
            hashlib.sha256(b"1").hexdigest(): 1,
            hashlib.sha256(b"22").hexdigest(): 2,
        }

    def test_what_is_not_there_is_an_oserror(self, blobs: Blobs) -> None:
        assert not blobs.has("0" * 64)
        with pytest.raises(OSError, match=r"."):
            blobs.get("0" * 64)

    @pytest.mark.parametrize("sha", ["", "../secrets", "A" * 64, "0" * 63, "0" * 64 + "\n", "/" + "0" * 63])
    def test_only_a_hash_names_a_blob(self, blobs: Blobs, sha: str) -> None:
        assert not blobs.has(sha)
        with pytest.raises(KeyError):
            blobs.get(sha)
        with pytest.raises(KeyError):
            blobs.discard(sha, before=datetime.now(UTC))

    def test_times_are_aware_and_say_when_it_was_put_last(self, blobs: Blobs) -> None:
        blobs.put(b"1")
        [each] = blobs.listed()
        assert abs(each.put_at - datetime.now(UTC)) < _SOON

    def test_what_is_old_is_discarded_and_what_is_young_is_not(self, blobs: Blobs) -> None:
        sha, now = blobs.put(b"1"), datetime.now(UTC)
        assert not blobs.discard(sha, before=now - _SOON)
        assert blobs.has(sha)
        assert blobs.discard(sha, before=now + _SOON)
        assert not blobs.has(sha)
        assert list(blobs.listed()) == []
        assert not blobs.discard(sha, before=now + _SOON)
        assert blobs.put(b"1") == sha and blobs.get(sha) == b"1"

    def test_putting_it_again_makes_it_young(self, blobs: Blobs) -> None:
        sha = blobs.put(b"1")
        [first] = blobs.listed()
        time.sleep(1.1)  # some stores tell time in seconds
        blobs.put(b"1")
        assert not blobs.discard(sha, before=first.put_at + timedelta(seconds=0.5))
        assert blobs.has(sha)

    def test_sweeping_takes_nothing_that_was_put(self, blobs: Blobs) -> None:
        shas = [blobs.put(b"%d" % number) for number in range(5)]
        blobs.sweep()
        assert all(blobs.has(sha) for sha in shas)

    def test_many_may_put_the_same_at_once(self, blobs: Blobs) -> None:
        with ThreadPoolExecutor(8) as pool:
            shas = list(pool.map(lambda number: blobs.put(b"%d" % (number % 3) * 10_000), range(24)))
        assert sorted(each.sha for each in blobs.listed()) == sorted(set(shas))
        assert all(hashlib.sha256(blobs.get(sha)).hexdigest() == sha for sha in shas)

    def test_a_guarded_store_keeps_what_is_put_while_it_is_discarded(self, blobs: Blobs) -> None:
        if not blobs.guarded:
            pytest.skip("it says that it is not guarded, so the registry keeps puts and removals apart")
        data = [b"%d" % number for number in range(40)]
        shas = [blobs.put(each) for each in data]
        time.sleep(2)
        before, over = max(each.put_at for each in blobs.listed()) + timedelta(seconds=1), threading.Event()

        def discards() -> None:
            while not over.is_set():
                for sha in shas:
                    blobs.discard(sha, before=before)

        discarding = threading.Thread(target=discards)
        discarding.start()
        try:
            for each in data:
                blobs.put(each)
        finally:
            over.set()
            discarding.join()
        assert [blobs.get(sha) for sha in shas] == data
