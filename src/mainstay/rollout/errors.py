"""What cannot be done with a rollout, and why."""

from __future__ import annotations

from mainstay.errors import CheckFailed, MainstayError


class IllegalMove(MainstayError):
    """The rollout's state has no such move."""

    def __init__(self, ref: str, state: str, cause: str) -> None:
        self.ref, self.state, self.cause = ref, state, cause
        super().__init__(
            f"The rollout of {ref} is {state.replace('_', ' ')}, so it cannot be {cause}: look at it again with "
            f"mainstay status."
        )


class NotToBePromoted(CheckFailed):
    """Something that a person cannot skip is still lacking."""

    def __init__(self, ref: str, lacking: str, way: str) -> None:
        self.ref, self.lacking = ref, lacking
        super().__init__(f"{ref} cannot be promoted yet: {lacking}; {way}.")


class NoWindow(MainstayError):
    """A text says no freeze window."""

    def __init__(self, text: str, problem: str) -> None:
        self.text = text
        super().__init__(
            f'{text!r} is no freeze window: {problem}. Write one such as "Fri 16:00 - Mon 08:00 Europe/Berlin" or '
            '"2026-12-24 .. 2027-01-02 Europe/Berlin".'
        )
