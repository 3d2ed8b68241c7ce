"""``rolecall each``: its options, what it runs, what it prints."""
