"""A transformer of a user's own, in a module that can be imported, as it must be to be served."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin


class Doubled(TransformerMixin, BaseEstimator):
    """Twice the values."""

    def fit(self, X: Any, y: Any = None) -> Doubled:
        self.n_features_in_ = np.shape(X)[1]
        return self

    def transform(self, X: Any) -> Any:
        return np.asarray(X, dtype=np.float64) * 2

    def get_feature_names_out(self, names: Any = None) -> Any:
        return np.asarray(names, dtype=object)


class LocalHour(TransformerMixin, BaseEstimator):
    """The hour of the day of date-times, where their zone has it."""

    def fit(self, X: Any, y: Any = None) -> LocalHour:
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X: Any) -> Any:
        return np.column_stack([X[name].dt.hour for name in X.columns]).astype(np.float64)

    def get_feature_names_out(self, names: Any = None) -> Any:
        return np.asarray(names, dtype=object)
