"""libvirt's own hook: what it needs, and nothing else, because every start of a guest waits for it."""
