"""One CS system: a wafer behind a full-duplex port, with bounded buffers.

Weights, gradients, input and saved activations share the port in program order. Weights wait
in a bounded buffer, so that prefetch is limited and back-pressure reaches MemoryX.
"""

from __future__ import annotations

LAYERS_IN_FLIGHT = 2
"""Layers whose activations may be on their way out, and on their way back. [-]"""
