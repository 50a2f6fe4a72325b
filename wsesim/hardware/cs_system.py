"""One CS system among others: its port each way, and what waits in its buffers."""

from __future__ import annotations

import simpy

from wsesim.config.system import WaferSpec
from wsesim.engine.buffers import Credits, Mailbox, Turnstile
from wsesim.hardware.swarmx import SystemClass

LAYERS_IN_FLIGHT = 2
"""Layers whose activations may be on their way out, and on their way back. [-]"""


class CSSystem:
    """The state of one class of equal systems.

    Attributes
    ----------
    port_in, port_out
        The full-duplex port; transfers pass in program order, one at a time in each direction.
    weight_room, gradient_room
        Room in the bounded buffers. [bytes]
    weights, gradients
        Chunks that have arrived, and chunks that are ready to leave.
    to_save, all_saved, activations
        Activations that are ready to leave, micro-batches whose last ones have left, and
        activations that are back on the wafer.
    prepared, inputs
        Micro-batches that the input workers have ready, and those that have arrived.
    """

    def __init__(self, env: simpy.Environment, index: int, kind: SystemClass, wafer: WaferSpec, prefetch: int) -> None:
        self.index = index
        self.kind = kind
        self.port_in, self.port_out = Turnstile(env), Turnstile(env)
        self.weight_room = Credits(env, int(wafer.weight_buffer_bytes))
        self.gradient_room = Credits(env, int(wafer.gradient_buffer_bytes))
        self.weights, self.gradients = Mailbox(env), Mailbox(env)
        self.to_save, self.all_saved, self.activations = Mailbox(env), Mailbox(env), Mailbox(env)
        self.saving_room, self.activation_room = Credits(env, LAYERS_IN_FLIGHT), Credits(env, LAYERS_IN_FLIGHT)
        self.prepared, self.inputs = Mailbox(env), Mailbox(env)
        self.input_room = Credits(env, prefetch)
