"""What credentials come from. The only code that calls STS."""
