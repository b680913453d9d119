"""Captions of more pictures than one machine should do: Ray's workers, and files that resume."""

FORMATS = ("parquet", "jsonl")  # of what is written
