"""Puts this folder on the path: tests share `strategies` and `samples`."""
