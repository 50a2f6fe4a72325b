"""Tests of wsesim: report.charts."""
