"""The command line: translates words to operations and results to words. Holds no logic."""
