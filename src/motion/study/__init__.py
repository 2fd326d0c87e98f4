"""The study: its experiments by name, their roll-outs, tables, figures and report."""
