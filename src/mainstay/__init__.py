"""Mainstay: from a data file to a machine-learning service that stays right."""
