"""Warnings that libraries give about their own code, kept out of the user's notebook."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def about_tree_specs() -> Iterator[None]:
    """Hide a warning of torch.export about its own tree specs (torch 2.13)."""
    with warnings.catch_warnings():
        about = r"`isinstance\(treespec, LeafSpec\)` is deprecated"
        warnings.filterwarnings("ignore", about, FutureWarning)
        yield
