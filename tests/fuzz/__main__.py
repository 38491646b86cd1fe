"""`python tests/fuzz CASES [http|grpc]`: that many requests, made from right ones under the guidance of what they reach
(atheris): to the codecs of HTTP, or to gRPC's and the HTTP/2 below it.

A case that fails is written to tests/fuzz/found, or found-grpc, where the suite asks it again for ever.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

HERE = Path(__file__).parent
LONGEST, SLOWEST, MEMORY = 4096, 10, 2048
"""Bytes of a case, seconds that one may take, and megabytes that the whole may grow to."""
sys.path.insert(0, str(HERE))

with atheris.instrument_imports(include=["mainstay.serving", "mainstay.models.signature", "mainstay.models.tensors"]):
    import asking
    import calling_in

import changing  # noqa: E402 - as the lines above it, once the folder is known
import tampering  # noqa: E402


def main(cases: int, spoken: str) -> None:
    server: asking.Server | calling_in.Caller
    if spoken == "grpc":
        server, change, found = calling_in.Caller(), tampering.changed, HERE / "found-grpc"
        right = list(calling_in.seeds(server))
    else:
        server, change, found = asking.Server(), changing.changed, HERE / "found"
        right = list(asking.seeds(server))
    corpus = Path(tempfile.mkdtemp(prefix="mainstay-corpus-"))
    for number, seed in enumerate(right):
        server.ask(seed)
        (corpus / f"seed-{number}").write_bytes(seed)
    words = corpus.with_suffix(".dict")
    words.write_text(
        "".join(f'"{word}"\n' for word in _words()),
        encoding="utf-8",
    )
    options = [
        f"-runs={cases}",
        "-seed=1",
        f"-max_len={LONGEST}",
        "-len_control=0",
        f"-timeout={SLOWEST}",
        f"-rss_limit_mb={MEMORY}",
    ]
    options += [f"-artifact_prefix={found}/", f"-dict={words}", "-print_final_stats=1", str(corpus), str(found)]

    def mutated(case: bytes, most: int, seed: int) -> bytes:
        made = change(case, seed) if seed % 2 else None
        return atheris.Mutate(case, most) if made is None or len(made) > most else made

    def asked(case: bytes) -> None:
        server.ask(case)

    atheris.Setup([sys.argv[0], *options], asked, custom_mutator=mutated)
    atheris.Fuzz()


def _words() -> list[str]:
    plain = "features inputs instances id name shape datatype data parameters outputs binary_data_size binary_data b64"
    plain += " binary_data_output dataframe_split dataframe_records columns index signature_name serving_default"
    plain += " age amount purpose owner since x alone three whole sum FP32 FP64 INT64 UINT8 BYTES BOOL FP16 null true"
    odd = ["1e308", "1e309", "-0.0", "NaN", "Infinity", "9007199254740993", "18446744073709551616", "-1", "[[", "]]"]
    return [*plain.split(), *odd, "\\x00", "\\\\u0000", "\\\\ud800", "\\xff\\xfe", "[[[[[[[[", '\\"', "{}", "[]"]


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000, sys.argv[2] if len(sys.argv) > 2 else "http")
