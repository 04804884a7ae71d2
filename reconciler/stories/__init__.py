"""Stories beside that of `app`: which commit is in force, a timer's run, what is told to whom."""
