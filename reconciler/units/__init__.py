"""What `reconciler install` writes: units of systemd, a configuration to fill in, the state folder's entry."""
