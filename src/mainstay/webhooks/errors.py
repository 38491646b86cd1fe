"""What can go wrong while a webhook is told something."""

from __future__ import annotations


class NotDelivered(Exception):
    """A webhook did not take a message; why, in words that hold no secret. It is tried again."""
