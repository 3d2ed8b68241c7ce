"""Which accounts: read of an organization or a file, and selected."""
