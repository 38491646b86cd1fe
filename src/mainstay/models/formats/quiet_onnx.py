"""ONNX Runtime, told to report to nobody.

As it is published for Linux and macOS (seen in 1.31), it keeps a record of how it is used in the user's home and sends
it to its makers, unless this variable is set before it is loaded (its Privacy.md, "Disabling Telemetry"). Everything
here loads it through this module; whoever wants the reports sent sets the variable to 0.
"""

from __future__ import annotations

import os

VARIABLE = "ORT_DISABLE_TELEMETRY"
os.environ.setdefault(VARIABLE, "1")

import onnxruntime as onnxruntime  # noqa: E402, PLC0414 - after the variable, which it reads once; for others to take
