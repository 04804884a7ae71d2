"""Verbs that are more than a few lines. What they do is in `app`, what they print in `report`."""
