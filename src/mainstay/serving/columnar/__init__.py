"""Arrow and Parquet bodies, read and written in a process of their own.

The worker speaks to it in `messages` and never imports pyarrow; only `process` does, which is run and never imported.
"""
