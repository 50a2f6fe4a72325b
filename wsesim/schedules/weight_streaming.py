"""Weight streaming: who waits for whom.

MemoryX sends each layer's weights down the tree, chunk by chunk, forward and then in
reverse for the backward pass, again for every micro-batch. The wafer computes a chunk when
it is there, the gradient of a chunk leaves when it is computed, MemoryX updates a layer's
parameters when the last micro-batch's gradient is in, and the next step's weights wait for
that. Each process below is one of these sentences.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Generator

import simpy

from wsesim.config.cluster import ClusterSpec
from wsesim.engine.buffers import Mailbox, Turn
from wsesim.engine.clock import Clock
from wsesim.engine.trace import Span
from wsesim.hardware.cs_system import CSSystem
from wsesim.schedules.plan import Plan, Sweep

Process = Generator[simpy.Event, None, None]


class WeightStreaming:
    """One cluster that trains with one plan, step after step.

    Attributes
    ----------
    step_ends_s
        For each class of systems, when each step's last sweep ended. [s]
    micro_batch_ends_s
        The same for each micro-batch of each step. [s]
    """

    def __init__(self, clock: Clock, cluster: ClusterSpec, plan: Plan, num_micro_batches: int) -> None:
        self.clock = clock
        self.cluster = cluster
        self.plan = plan
        self.num_micro_batches = num_micro_batches
        self.trace: list[Span] = []
        wafer, prefetch = cluster.system.wafer, cluster.input.prefetch_micro_batches
        self.systems = [CSSystem(clock, index, kind, wafer, prefetch) for index, kind in enumerate(plan.classes)]
        slowest_port = min(min(kind.io_bytes_per_s, kind.link_bytes_per_s) for kind in plan.classes)
        slowest_link = cluster.swarmx.link_bytes_per_s if cluster.num_systems > 1 else slowest_port
        self.fabric_bytes_per_s = min(slowest_port, slowest_link)
        self.updated: dict[int, list[simpy.Event]] = defaultdict(lambda: [clock.event() for _ in plan.layers])
        self.reduced = Mailbox(clock)
        self.reduced_layers: list[int] = []
        self.step_ends_s: list[list[float]] = [[] for _ in plan.classes]
        self.micro_batch_ends_s: list[list[float]] = [[] for _ in plan.classes]
        self.step_done: dict[int, simpy.Event] = defaultdict(clock.event)
        self._unfinished: dict[int, int] = defaultdict(lambda: len(self.systems))
        self._last_use = _contributions(plan)
        for event in self.updated[0]:
            event.succeed()

    def start(self) -> None:
        """Start every process."""
        self.clock.start("MemoryX sending weights", self.send_weights())
        self.clock.start("SwarmX reducing gradients", self.reduce_gradients())
        self.clock.start("MemoryX updating weights", self.update_weights())
        for system in self.systems:
            name = f"class {system.index} of systems"
            self.clock.start(f"{name}, wafer", self.train(system))
            self.clock.start(f"{name}, input", self.feed(system))
            if any(sweep.saved_bytes for sweep in self.plan.sweeps):
                self.clock.start(f"{name}, saving activations", self.save_activations(system))
                self.clock.start(f"{name}, fetching activations", self.fetch_activations(system))

    def send_weights(self) -> Process:
        """MemoryX streams every sweep's weights to all systems, as fast as they have room."""
        for step in itertools.count():
            updated = self.updated[step]
            for micro in range(self.num_micro_batches):
                for sweep in self.plan.sweeps:
                    for tensor in sweep.tensors:
                        if not updated[tensor].processed:
                            start_s = self.clock.now
                            yield updated[tensor]
                            self.note("memoryx", "wait_update", sweep, step, micro, start_s)
                    for _ in range(sweep.num_chunks):
                        yield from self.broadcast(sweep, step, micro)
            del self.updated[step]

    def broadcast(self, sweep: Sweep, step: int, micro: int) -> Process:
        """One chunk goes down the tree to every system at once."""
        size, start_s = sweep.chunk_bytes, self.clock.now
        for system in self.systems:
            room = system.weight_room.take(size)
            if room is not None:
                yield room
        self.note("memoryx", "wait_room", sweep, step, micro, start_s)
        start_s = self.clock.now
        for system in self.systems:
            turn = system.port_in.take()
            if turn is not None:
                yield turn
        self.note("memoryx", "wait_port", sweep, step, micro, start_s)
        start_s = self.clock.now
        yield self.clock.timeout(size / min(sweep.rate_bytes_per_s, self.fabric_bytes_per_s))
        self.note("swarmx_down", "transfer", sweep, step, micro, start_s, size)
        for system in self.systems:
            system.port_in.give()
            latency_s = system.kind.latency_s + self.cluster.memoryx.tensor_latency_s
            arrival = self.clock.timeout(latency_s)
            arrival.callbacks.append(system.weights.put)

    def train(self, system: CSSystem) -> Process:
        """The wafer computes each layer as its weights come past."""
        wafer, plan = f"wafer.{system.index}", self.plan
        for step in itertools.count():
            for micro in range(self.num_micro_batches):
                start_s = self.clock.now
                ready = system.inputs.get()
                if ready is not None:
                    yield ready
                system.input_room.give(1)
                self.note(wafer, "wait_input", plan.sweeps[0], step, micro, start_s)
                for sweep in plan.sweeps:
                    yield from self.sweep(system, wafer, sweep, step, micro)
                self.micro_batch_ends_s[system.index].append(self.clock.now)
            self.step_ends_s[system.index].append(self.clock.now)
            self._unfinished[step] -= 1
            if self._unfinished[step] == 0:
                self.step_done.pop(step, self.clock.event()).succeed()

    def sweep(self, system: CSSystem, wafer: str, sweep: Sweep, step: int, micro: int) -> Process:
        """The wafer works through one layer in one pass."""
        speed, clock = system.kind.speed, self.clock
        if sweep.sequencing_s:
            start_s = clock.now
            yield clock.timeout(sweep.sequencing_s / speed)
            self.note(wafer, "sequencing", sweep, step, micro, start_s)
        if sweep.fetched_bytes:
            start_s = clock.now
            back = system.activations.get()
            if back is not None:
                yield back
                self.note(wafer, "wait_activations", sweep, step, micro, start_s)
            system.activation_room.give(1)
        chunk_s = sweep.gemm_s / sweep.num_chunks / speed
        for _ in range(sweep.num_chunks):
            there = system.weights.get()
            if there is not None:
                start_s = clock.now
                yield there
                self.note(wafer, "wait_weights", sweep, step, micro, start_s)
            start_s = clock.now
            yield clock.timeout(chunk_s)
            self.note(wafer, "gemm", sweep, step, micro, start_s)
            system.weight_room.give(sweep.chunk_bytes)
            if sweep.phase == "backward":
                room = system.gradient_room.take(sweep.chunk_bytes)
                if room is not None:
                    start_s = clock.now
                    yield room
                    self.note(wafer, "wait_gradients", sweep, step, micro, start_s)
                system.gradients.put()
        if sweep.attention_s:
            start_s = clock.now
            yield clock.timeout(sweep.attention_s / speed)
            self.note(wafer, "attention", sweep, step, micro, start_s)
        if sweep.saved_bytes:
            start_s = clock.now
            room = system.saving_room.take(1)
            if room is not None:
                yield room
                self.note(wafer, "wait_activations", sweep, step, micro, start_s)
            system.to_save.put()

    def reduce_gradients(self) -> Process:
        """Each chunk of gradients goes up the tree once every system has delivered it."""
        backward = [sweep for sweep in self.plan.sweeps if sweep.phase == "backward"]
        for step in itertools.count():
            for micro in range(self.num_micro_batches):
                for sweep in backward:
                    for chunk in range(sweep.num_chunks):
                        yield from self.reduce(sweep, step, micro)
                        last = micro == self.num_micro_batches - 1 and chunk == sweep.num_chunks - 1
                        if last:
                            self.deliver(sweep)

    def reduce(self, sweep: Sweep, step: int, micro: int) -> Process:
        """One chunk leaves every system and arrives, summed, at MemoryX."""
        size = sweep.chunk_bytes
        for system in self.systems:
            ready = system.gradients.get()
            if ready is not None:
                yield ready
        for system in self.systems:
            turn = system.port_out.take()
            if turn is not None:
                yield turn
        start_s = self.clock.now
        yield self.clock.timeout(size / min(self.cluster.memoryx.ingress_bytes_per_s, self.fabric_bytes_per_s))
        self.note("swarmx_up", "transfer", sweep, step, micro, start_s, size)
        for system in self.systems:
            system.port_out.give()
            system.gradient_room.give(size)

    def deliver(self, sweep: Sweep) -> None:
        """The last chunk of a layer's gradient reaches MemoryX after the way up."""
        arrival = self.clock.timeout(max(system.kind.latency_s for system in self.systems))

        def put(_event: simpy.Event) -> None:
            for tensor in sweep.tensors:
                if self._last_use[tensor] == sweep.layer:
                    self.reduced_layers.append(tensor)
                    self.reduced.put()

        arrival.callbacks.append(put)

    def update_weights(self) -> Process:
        """MemoryX updates a layer when its gradient is in, or all layers when all are in."""
        num_layers = len(self.plan.layers)
        for step in itertools.count():
            updated = self.updated[step + 1]
            arrived: list[int] = []
            for _ in range(num_layers):
                one = self.reduced.get()
                if one is not None:
                    yield one
                arrived.append(self.reduced_layers.pop(0))
                if not self.plan.waits_for_norm:
                    yield from self.update(arrived[-1], step, updated)
            if self.plan.waits_for_norm:
                for layer in sorted(arrived):
                    yield from self.update(layer, step, updated)

    def update(self, layer: int, step: int, updated: list[simpy.Event]) -> Process:
        """One layer's parameters get their new values."""
        start_s = self.clock.now
        yield self.clock.timeout(self.plan.update_s[layer])
        self.trace.append(Span("optimizer", "update", layer, "", step, 0, start_s, self.clock.now))
        updated[layer].succeed()

    def feed(self, system: CSSystem) -> Process:
        """Input workers prepare micro-batches and send them over the port."""
        worker, size = system.kind.worker_samples_per_s, self.plan.input_bytes
        workers = f"input.{system.index}"
        for count in itertools.count():
            step, micro = divmod(count, self.num_micro_batches)
            room = system.input_room.take(1)
            if room is not None:
                yield room
            if worker is not None:
                start_s = self.clock.now
                yield self.clock.timeout(self.plan.micro_batch_size / (worker * self.plan.input_workers))
                self.note(workers, "prepare", self.plan.sweeps[0], step, micro, start_s)
            yield from self.move(
                system.port_in, system, f"port_in.{system.index}", "input", self.plan.sweeps[0], size, step, micro
            )
            system.inputs.put()

    def save_activations(self, system: CSSystem) -> Process:
        """What the backward pass needs leaves the wafer after each forward sweep."""
        saving = [sweep for sweep in self.plan.sweeps if sweep.saved_bytes]
        port = f"port_out.{system.index}"
        for count in itertools.count():
            step, micro = divmod(count, self.num_micro_batches)
            for sweep in saving:
                there = system.to_save.get()
                if there is not None:
                    yield there
                yield from self.move(
                    system.port_out, system, port, "activations", sweep, sweep.saved_bytes, step, micro
                )
                system.saving_room.give(1)
            system.all_saved.put()

    def fetch_activations(self, system: CSSystem) -> Process:
        """What the backward pass needs comes back in reverse order, at most two layers ahead."""
        fetching = [sweep for sweep in self.plan.sweeps if sweep.fetched_bytes]
        port = f"port_in.{system.index}"
        for count in itertools.count():
            step, micro = divmod(count, self.num_micro_batches)
            saved = system.all_saved.get()
            if saved is not None:
                yield saved
            for sweep in fetching:
                room = system.activation_room.take(1)
                if room is not None:
                    yield room
                yield from self.move(
                    system.port_in, system, port, "activations", sweep, sweep.fetched_bytes, step, micro
                )
                system.activations.put()

    def move(
        self, port: Turn, system: CSSystem, part: str, kind: str, sweep: Sweep, size: int, step: int, micro: int
    ) -> Process:
        """One transfer of one system over its port, outside the tree."""
        turn = port.take()
        if turn is not None:
            yield turn
        start_s = self.clock.now
        yield self.clock.timeout(size / system.kind.io_bytes_per_s)
        self.note(part, kind, sweep, step, micro, start_s, size)
        port.give()

    def note(
        self, part: str, kind: str, sweep: Sweep, step: int, micro: int, start_s: float, num_bytes: int = 0
    ) -> None:
        """Remember a span that ends now, if it took any time."""
        now = self.clock.now
        if now > start_s:
            self.trace.append(Span(part, kind, sweep.layer, sweep.phase, step, micro, start_s, now, num_bytes))


def _contributions(plan: Plan) -> dict[int, int]:
    """For each layer's parameters, the layer whose backward sweep is the last to add to their gradient."""
    last: dict[int, int] = {}
    for sweep in plan.sweeps:
        if sweep.phase == "backward":
            last |= dict.fromkeys(sweep.tensors, sweep.layer)
    return last


SCHEDULES = {"weight_streaming": WeightStreaming}
"""Execution modes by name."""
