"""From what a host has to the site that says it: pure, and only what can be said exactly."""
