"""Where a run's report goes: a branch and notes of the repository, or a forge. None knows how reports are made."""
