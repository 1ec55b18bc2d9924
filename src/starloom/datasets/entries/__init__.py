"""The datasets that the studies use, with pinned sources: one file a subject, each ending with its DATASETS.

A pin is a version or a commit and a SHA-256: what is got is what was looked at when the entry was written, or nothing.
"""
