"""Files become frozen specs; the only home of pydantic."""
