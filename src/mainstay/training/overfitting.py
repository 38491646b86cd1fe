"""When the difference between training rows and validation rows is too large to be trusted."""

from __future__ import annotations

from mainstay.training.scoring import error
from mainstay.training.trials import Overfitting

LIMIT = 0.25
RULE = (
    "flagged where the share of the baseline's error that the model removes is more than "
    f"{LIMIT:g} larger on its training rows than on validation rows"
)


def judge(metric: str, *, training: float, validation: float, baseline: float) -> Overfitting | None:
    """Compares scores (more is better, a loss negative) on training rows and on validation rows.

    The share of the baseline's error removed, 1 - error / baseline error, is one scale for every metric: 0 is a
    model that knows nothing, 1 a perfect one. None where the baseline makes no error.
    """
    trivial = error(metric, baseline)
    if not trivial > 0:
        return None
    gap = (error(metric, validation) - error(metric, training)) / trivial
    return Overfitting(training_score=training, validation_score=validation, gap=gap, flagged=gap > LIMIT, rule=RULE)
