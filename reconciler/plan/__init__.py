"""From a difference to ordered steps: pure. `execute` runs what this package returns and imports nothing of it."""
