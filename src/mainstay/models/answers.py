"""What a model says about n rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mainstay.models.signature import Floats


@dataclass(frozen=True)
class Answers:
    """Scores and decisions of n rows, in float64.

    A regression has `values` (n,). A classifier has `labels` (n,), the index of each row's label in the signature,
    and, where it knows them, `probabilities` (n, labels).
    """

    values: Floats | None = None
    labels: npt.NDArray[np.int64] | None = None
    probabilities: Floats | None = None

    def __len__(self) -> int:
        decided = self.values if self.labels is None else self.labels
        return 0 if decided is None else len(decided)
