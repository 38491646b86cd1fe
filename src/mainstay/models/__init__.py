"""What a model is: its package, signature, encoder, formats and profile.

Values, pure functions, and reading and writing of a package's files. No database, no network, no clock.
Libraries of the `train` extra are imported only inside `formats` and `packaging`, by the module that needs them.
"""
