"""What a trace says: pure functions, nothing is simulated here."""
