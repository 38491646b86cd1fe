"""What was answered while a rollout runs, kept until the true outcomes come: labels, by prediction id and row.

Workers write, the agent of the machine joins. Of a prediction, a hash of its id, the row, the version and what it
answered are kept; nothing of what was asked.
"""
