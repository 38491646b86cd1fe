"""scikit-learn's HistGradientBoosting: double thresholds, missing values, categories."""

from __future__ import annotations

from typing import Any

import numpy as np

from mainstay.models.formats import links
from mainstay.models.formats.graph import CannotExport, Features, Graph, Scores
from mainstay.models.formats.trees import LEQ, MEMBER, Indices, Tree, remember_splits, write_sum
from mainstay.models.signature import Floats

_LINKS = ("IdentityLink", "LogLink")


def write(graph: Graph, features: Features, estimator: Any) -> Scores:
    """The nodes of a fitted HistGradientBoostingClassifier or -Regressor."""
    base = np.ravel(estimator._baseline_prediction)  # noqa: SLF001 - scikit-learn shows its trees nowhere else
    reader = _Reader(estimator)
    trees = [Tree.constant(float(value), target) for target, value in enumerate(base)]
    for iteration in estimator._predictors:  # noqa: SLF001 - as above
        trees += [reader.tree(predictor, target) for target, predictor in enumerate(iteration)]
    remember_splits(graph, features, trees)
    raw = write_sum(graph, reader.whole_categories(graph, features), trees, targets=len(base), dtype="float64")
    if hasattr(estimator, "classes_"):
        if len(base) > 1:
            return Scores(probabilities=links.softmax(graph, raw), raw=raw)
        probabilities = links.binary(graph, links.sigmoid(graph, raw))
        # predict() looks at the sign of the score, which a probability that rounds to one half has lost.
        return Scores(probabilities=probabilities, raw=raw, label=links.above(graph, raw))
    link = type(estimator._loss.link).__name__  # noqa: SLF001 - as above
    if link not in _LINKS:
        raise CannotExport(f"The loss {estimator.loss!r} of {type(estimator).__name__} has a link that is not known.")
    return Scores(value=graph.add("Exp", raw) if link == "LogLink" else raw)


class _Reader:
    """Reads trees in terms of the columns and categories that the user gave.

    Inside, the categorical columns come first, and their values are replaced by their rank.
    """

    def __init__(self, estimator: Any) -> None:
        width = estimator.n_features_in_
        flags = estimator.is_categorical_
        self.categorical = np.zeros(width, np.bool_) if flags is None else np.asarray(flags)
        self.columns: Indices = np.concatenate([np.flatnonzero(self.categorical), np.flatnonzero(~self.categorical)])
        self.values: list[Floats] = []
        self.known: list[list[int]] = []
        if flags is None:
            return
        bits, rows = estimator._bin_mapper.make_known_categories_bitsets()  # noqa: SLF001 - see `write`
        encoder = estimator._preprocessor.named_transformers_["encoder"]  # noqa: SLF001 - see `write`
        for place, values in enumerate(encoder.categories_):
            found = np.asarray(values)
            if found.dtype.kind not in "fiub":
                raise CannotExport(f"Column {self.columns[place]} has categories that are not numbers.")
            found = found.astype(np.float64)
            found = found[~np.isnan(found)]
            if not np.array_equal(found, np.floor(found)) or np.any(np.abs(found) >= 2**31):
                raise CannotExport(
                    f"Column {self.columns[place]} has categories that are not whole numbers of 32 bits."
                )
            self.values.append(found)
            self.known.append(_set_bits(bits[rows[place]]))

    def whole_categories(self, graph: Graph, features: Features) -> str:
        """The features, with what cannot be a category in a categorical column (3.6) as missing, as it is read."""
        x = graph.double(features)
        if not self.categorical.any():
            return x
        numeric = graph.constant(~self.categorical, np.bool_)
        whole = graph.add("Equal", graph.add("Floor", x), x)
        return graph.add("Where", graph.add("Or", numeric, whole), x, graph.constant(np.nan))

    def tree(self, predictor: Any, target: int) -> Tree:
        nodes = predictor.nodes
        if len(nodes) == 1:
            return Tree.constant(float(nodes["value"][0]), target)
        leaf = nodes["is_leaf"].astype(np.bool_)
        place = np.where(leaf, ~(np.cumsum(leaf) - 1), np.cumsum(~leaf) - 1)
        inner = nodes[~leaf]
        yes, no = place[inner["left"]], place[inner["right"]]
        missing_yes = inner["missing_go_to_left"].astype(np.bool_)
        sets = inner["is_categorical"].astype(np.bool_)
        members = []
        for index in np.flatnonzero(sets):
            node = inner[index]
            column = int(node["feature_idx"])
            left = _set_bits(predictor.raw_left_cat_bitsets[node["bitset_idx"]])
            chosen = left
            if missing_yes[index]:
                # A category never seen goes where missing values go, here to the left: so the set has to be
                # that of the known categories which go to the right.
                chosen = [code for code in self.known[column] if code not in set(left)]
                yes[index], no[index] = no[index], yes[index]
                missing_yes[index] = False
            members.append(
                tuple(float(self.values[column][code]) for code in chosen if code < len(self.values[column]))
            )
        return Tree(
            feature=self.columns[inner["feature_idx"]],
            threshold=np.where(sets, 0.0, inner["num_threshold"]),
            mode=np.where(sets, MEMBER, LEQ).astype(np.uint8),
            yes=yes,
            no=no,
            missing_yes=missing_yes,
            members=tuple(members),
            leaves=nodes["value"][leaf],
            target=target,
        )


def _set_bits(words: Any) -> list[int]:
    """The numbers whose bit is set in eight words of 32 bits."""
    return [number for number in range(256) if int(words[number // 32]) >> (number % 32) & 1]
