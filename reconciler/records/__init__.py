"""What a host remembers between runs: small JSON files in its state folder, each whole or as it was before."""
