"""Tests of wsesim: workload."""
