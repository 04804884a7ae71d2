"""What the reconciler costs, measured beside what people use today. `make bench` runs it; no test is timed."""
