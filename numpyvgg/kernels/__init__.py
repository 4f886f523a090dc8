"""The textbook's operations made fast."""
