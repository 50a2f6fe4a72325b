"""Tests of wsesim: hardware."""
