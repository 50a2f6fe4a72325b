"""Tests of wsesim: validation."""
