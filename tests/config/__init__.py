"""Tests of wsesim: config."""
