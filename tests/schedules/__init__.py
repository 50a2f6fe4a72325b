"""Tests of wsesim: schedules."""
