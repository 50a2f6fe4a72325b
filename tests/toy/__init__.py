"""A kind of machine outside of wsesim."""
