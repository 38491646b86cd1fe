"""One function for each thing that a person can ask; the one place that chooses adapters."""
