"""One index and one folder of environments for all tests of Python classes."""

from __future__ import annotations

from python_classes import environments, imported, index, offline, project

__all__ = ["environments", "imported", "index", "offline", "project"]
