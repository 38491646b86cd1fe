"""Rollouts: which moves there are, and when which one is made.

Values and decisions only: no clock, no network, no database. Plan, evidence and record are the registry's values; what
moves traffic is `serving`, and neither knows the other.
"""
