"""Pictures: each is defined once and drawn on the page, in the report, in notebooks and for a paper."""
