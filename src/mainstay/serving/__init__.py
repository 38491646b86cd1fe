"""Answers requests: the worker, the hosts beside it, and the agent that keeps its routing table.

Needs the default install alone: pandas and scikit-learn are not imported here, nor by anything imported here.
"""
