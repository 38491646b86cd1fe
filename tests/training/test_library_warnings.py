"""What libraries warn of while a model is fitted: kept for the person who trains, as far as it is meant for him."""

from __future__ import annotations

import warnings

import pytest

from mainstay.training.fitting import collected_warnings


def test_each_warning_is_kept_once_on_one_line():
    with collected_warnings() as messages:
        for _ in range(2):
            warnings.warn("did not\n converge", RuntimeWarning, stacklevel=1)
    assert messages == ["did not converge"]


@pytest.mark.parametrize("category", [DeprecationWarning, PendingDeprecationWarning])
def test_deprecations_are_not_for_people_who_train(category):
    with collected_warnings() as messages:
        warnings.warn("this argument goes away", category, stacklevel=1)
    assert messages == []
