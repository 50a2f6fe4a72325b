"""Published results to compare with, and measurements of wsesim's own speed."""
