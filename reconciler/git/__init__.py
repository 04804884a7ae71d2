"""The one door to git, for those who read repositories and those who write reports into them."""
