from __future__ import annotations

import numpy as np
import pytest

from mainstay.training.ranking import hopeless, promising, surpasses

BEST = np.array([0.80, 0.84, 0.82, 0.78, 0.81])


def test_a_better_trial_must_be_better_than_its_noise():
    assert surpasses(BEST + 0.001, BEST)  # a little, but on each fold
    assert not surpasses(BEST + np.array([0.05, -0.04, 0.03, -0.05, 0.03]), BEST)
    assert not surpasses(BEST, BEST)
    assert surpasses(np.array([np.nan, 0.9, 0.9, 0.9, 0.9]), BEST)
    assert not surpasses(np.full(5, np.nan), BEST)


@pytest.mark.parametrize(("behind", "folds", "ends"), [(0.03, 1, False), (0.06, 1, True), (0.03, 3, True)])
def test_a_trial_ends_early_the_sooner_the_further_it_is_behind(behind, folds, ends):
    assert (hopeless(BEST[:folds] - behind, BEST) is not None) == ends


def test_nothing_is_hopeless_beside_an_undefined_score():
    assert hopeless(np.array([np.nan]), BEST) is None
    assert hopeless(np.array([0.1]), np.array([0.9])) is None


def test_families_near_the_best_are_promising_and_two_at_least():
    assert promising([0.9, 0.7, 0.89, 0.6], 0.5) == [0, 2]
    assert promising([-10.0, -50.0, -40.0], -100.0) == [0, 2]
    assert promising([0.8] * 6, 0.5) == [0, 1, 2, 3]
    assert promising([0.7], 0.5) == [0]
    assert promising([], 0.5) == []
