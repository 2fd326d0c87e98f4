"""The networks that forecast motion; one file per family."""
