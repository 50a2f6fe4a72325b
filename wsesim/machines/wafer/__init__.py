"""Wafer-scale clusters: weights stream from MemoryX over SwarmX to CS systems."""
