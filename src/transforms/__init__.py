"""The operations on landmarks between the store and a model: pure tensor code, no data files."""
