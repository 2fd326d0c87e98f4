"""What libraries say about themselves, kept from the user's notebook."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def about_tree_specs() -> Iterator[None]:
    """Hide that torch.export copies tree specs of its own in a way it warns of (torch 2.13)."""
    with warnings.catch_warnings():
        about = r"`isinstance\(treespec, LeafSpec\)` is deprecated"
        warnings.filterwarnings("ignore", about, FutureWarning)
        yield
