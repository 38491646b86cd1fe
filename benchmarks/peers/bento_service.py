"""BentoML: a service with one API."""

from typing import Any

import bentoml
from learned import Learned


@bentoml.service(workers=1, traffic={"timeout": 60})
class Served:
    def __init__(self) -> None:
        self.learned = Learned()

    @bentoml.api(route="/predict")
    def predict(self, row: dict[str, Any]) -> dict[str, Any]:
        return self.learned(row)
