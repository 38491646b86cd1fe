"""From a data file to a fitted, evaluated model: reading, checks, split, features, search, evaluation, gates, report.

Needs the `train` extra. Decisions (what a column is, whether a gate holds) are pure functions.
"""
