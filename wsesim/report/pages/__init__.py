"""What each answer says."""
