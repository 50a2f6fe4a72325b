"""When each part of a machine did what: records, and what all machines draw alike."""
