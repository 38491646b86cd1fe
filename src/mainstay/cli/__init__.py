"""The command line: translates words to operations and results to words. Holds no logic."""

from mainstay.cli.app import app, main

__all__ = ["app", "main"]
