"""What can be set, checked once."""
