"""Runs one frozen plan: journal first, act, read back, and revert in reverse order when something surprises."""
