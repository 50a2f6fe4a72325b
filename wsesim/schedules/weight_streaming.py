"""Weight streaming: who waits for whom.

MemoryX sends each layer's weights down the tree, chunk by chunk, forward and then in
reverse for the backward pass, again for every micro-batch. The wafer computes a chunk when
it is there, the gradient of a chunk leaves when it is computed, MemoryX updates a layer's
parameters when the last micro-batch's gradient is in, and the next step's weights wait for
that. Each process below is one of these sentences.

Everything passes in program order, also over the ports: the compiler fixes the order, as
the program is the same on every system. So no choice is made during a step, and each time
is a maximum of earlier ones plus a duration.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Generator
from typing import Any, NamedTuple

import simpy

from wsesim.config.cluster import ClusterSpec
from wsesim.engine.buffers import Mailbox, Turnstile
from wsesim.engine.clock import Clock
from wsesim.engine.trace import Span
from wsesim.hardware.cs_system import CSSystem
from wsesim.schedules.plan import Plan, Sweep, last_contributions, port_order

Process = Generator[simpy.Event, Any, None]
NEVER_S = -1.0
"""Before the start: nothing was waited for. [s]"""


class Moment(NamedTuple):
    """Which micro-batch of which step, and both as one running number."""

    step: int
    micro_batch: int
    number: int


class Chunk(NamedTuple):
    """What held a chunk of weights up before it was sent. [s]"""

    gradient_s: float
    update_s: float
    room_s: float


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
        self.order = port_order(plan.sweeps)
        self.num_micro_batches = num_micro_batches
        self.trace: list[Span] = []
        wafer, prefetch = cluster.system.wafer, cluster.input.prefetch_micro_batches
        self.systems = [CSSystem(clock, index, kind, wafer, prefetch) for index, kind in enumerate(plan.classes)]
        self.fabric_bytes_per_s = fabric_rate_bytes_per_s(cluster, plan)
        self.updated: dict[int, list[simpy.Event]] = defaultdict(lambda: [clock.event() for _ in plan.layers])
        self.gradient_arrived_s = [NEVER_S] * len(plan.layers)
        self.reduced = Mailbox(clock)
        self.step_ends_s: list[list[float]] = [[] for _ in plan.classes]
        self.micro_batch_ends_s: list[list[float]] = [[] for _ in plan.classes]
        self.step_done: dict[int, simpy.Event] = defaultdict(clock.event)
        self._unfinished: dict[int, int] = defaultdict(lambda: len(self.systems))
        self._last_contribution = last_contributions(plan.sweeps)
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
            self.clock.start(f"{name}, input workers", self.prepare_input(system))
            self.clock.start(f"{name}, input", self.send_input(system))
            if any(sweep.saved_bytes for sweep in self.plan.sweeps):
                self.clock.start(f"{name}, saving activations", self.save_activations(system))
                self.clock.start(f"{name}, fetching activations", self.fetch_activations(system))

    def moments(self) -> Generator[Moment, None, None]:
        """All micro-batches of all steps, without end."""
        for number in itertools.count():
            yield Moment(*divmod(number, self.num_micro_batches), number)

    def send_weights(self) -> Process:
        """MemoryX streams every sweep's weights to all systems, as fast as they have room."""
        for moment in self.moments():
            first_tickets = (moment.number * self.order.num_in + first for first in self.order.first_in)
            for sweep, first_ticket in zip(self.plan.sweeps, first_tickets, strict=True):
                gradient_s = update_s = NEVER_S
                for tensor in sweep.tensors:
                    updated = self.updated[moment.step][tensor]
                    if not updated.processed:
                        yield updated
                        gradient_s, update_s = self.gradient_arrived_s[tensor], self.clock.now
                ticket = first_ticket + (1 if sweep.fetched_bytes else 0)
                for chunk in range(sweep.num_chunks):
                    yield from self.broadcast(sweep, moment, ticket + chunk, gradient_s, update_s)
            if moment.micro_batch == self.num_micro_batches - 1:
                del self.updated[moment.step]

    def broadcast(self, sweep: Sweep, moment: Moment, ticket: int, gradient_s: float, update_s: float) -> Process:
        """One chunk goes down the tree to every system at once."""
        size = sweep.chunk_bytes
        for system in self.systems:
            room = system.weight_room.take(size)
            if room is not None:
                yield room
        room_s = self.clock.now
        for system in self.systems:
            turn = system.port_in.take(ticket)
            if turn is not None:
                yield turn
        start_s = self.clock.now
        yield self.clock.timeout(size / min(sweep.rate_bytes_per_s, self.fabric_bytes_per_s))
        self.note("swarmx_down", "transfer", sweep, moment, start_s, size)
        chunk = Chunk(gradient_s, update_s, room_s)
        for system in self.systems:
            system.port_in.give()
            arrival = self.clock.timeout(system.kind.latency_s + self.cluster.memoryx.tensor_latency_s, chunk)
            arrival.callbacks.append(system.weights.put_value)

    def train(self, system: CSSystem) -> Process:
        """The wafer computes each layer as its weights come past."""
        wafer, plan = f"wafer.{system.index}", self.plan
        for moment in self.moments():
            start_s = self.clock.now
            if system.inputs.has_item():
                system.inputs.take()
            else:
                yield system.inputs.wait()
                self.note(wafer, "wait_input", plan.sweeps[0], moment, start_s)
            system.input_room.give(1)
            for sweep in plan.sweeps:
                yield from self.sweep(system, wafer, sweep, moment)
            self.micro_batch_ends_s[system.index].append(self.clock.now)
            if moment.micro_batch == self.num_micro_batches - 1:
                self.end_step(system, moment.step)

    def end_step(self, system: CSSystem, step: int) -> None:
        """A system has finished its last sweep of a step."""
        self.step_ends_s[system.index].append(self.clock.now)
        self._unfinished[step] -= 1
        if self._unfinished[step] == 0:
            self.step_done[step].succeed()

    def sweep(self, system: CSSystem, wafer: str, sweep: Sweep, moment: Moment) -> Process:
        """The wafer works through one layer in one pass."""
        speed, clock = system.kind.speed, self.clock
        if sweep.sequencing_s:
            start_s = clock.now
            yield clock.timeout(sweep.sequencing_s / speed)
            self.note(wafer, "sequencing", sweep, moment, start_s)
        if sweep.fetched_bytes:
            if system.activations.has_item():
                system.activations.take()
            else:
                start_s = clock.now
                yield system.activations.wait()
                self.note(wafer, "wait_activations", sweep, moment, start_s)
            system.activation_room.give(1)
        chunk_s = sweep.gemm_s / sweep.num_chunks / speed
        for _ in range(sweep.num_chunks):
            yield from self.compute_chunk(system, wafer, sweep, moment, chunk_s)
        if sweep.attention_s:
            start_s = clock.now
            yield clock.timeout(sweep.attention_s / speed)
            self.note(wafer, "attention", sweep, moment, start_s)
        if sweep.saved_bytes:
            room = system.saving_room.take(1)
            if room is not None:
                start_s = clock.now
                yield room
                self.note(wafer, "wait_activations", sweep, moment, start_s)
            system.to_save.put()

    def compute_chunk(self, system: CSSystem, wafer: str, sweep: Sweep, moment: Moment, chunk_s: float) -> Process:
        """One chunk of weights is used, and in the backward pass its gradient made."""
        clock = self.clock
        if system.weights.has_item():
            system.weights.take()
        else:
            start_s = clock.now
            chunk = yield system.weights.wait()
            self.note_weight_wait(wafer, sweep, moment, start_s, chunk)
        start_s = clock.now
        yield clock.timeout(chunk_s)
        self.note(wafer, "gemm", sweep, moment, start_s)
        system.weight_room.give(sweep.chunk_bytes)
        if sweep.phase == "backward":
            room = system.gradient_room.take(sweep.chunk_bytes)
            if room is not None:
                start_s = clock.now
                yield room
                self.note(wafer, "wait_gradients", sweep, moment, start_s)
            system.gradients.put()

    def reduce_gradients(self) -> Process:
        """Each chunk of gradients goes up the tree once every system has delivered it."""
        for moment in self.moments():
            first_tickets = (moment.number * self.order.num_out + first for first in self.order.first_out)
            for sweep, first_ticket in zip(self.plan.sweeps, first_tickets, strict=True):
                if sweep.phase != "backward":
                    continue
                for chunk in range(sweep.num_chunks):
                    yield from self.reduce(sweep, moment, first_ticket + chunk)
                if moment.micro_batch == self.num_micro_batches - 1:
                    self.deliver(sweep)

    def reduce(self, sweep: Sweep, moment: Moment, ticket: int) -> Process:
        """One chunk leaves every system and arrives, summed, at MemoryX."""
        size = sweep.chunk_bytes
        for system in self.systems:
            if system.gradients.has_item():
                system.gradients.take()
            else:
                yield system.gradients.wait()
        for system in self.systems:
            turn = system.port_out.take(ticket)
            if turn is not None:
                yield turn
        start_s = self.clock.now
        yield self.clock.timeout(size / min(self.cluster.memoryx.ingress_bytes_per_s, self.fabric_bytes_per_s))
        self.note("swarmx_up", "transfer", sweep, moment, start_s, size)
        for system in self.systems:
            system.port_out.give()
            system.gradient_room.give(size)

    def deliver(self, sweep: Sweep) -> None:
        """The last chunk of a layer's gradient reaches MemoryX after the way up."""
        complete = [tensor for tensor in sweep.tensors if self._last_contribution[tensor] == sweep.layer]
        arrival = self.clock.timeout(max(system.kind.latency_s for system in self.systems), complete)
        arrival.callbacks.append(self.reduced.put_value)

    def update_weights(self) -> Process:
        """MemoryX updates a layer when its gradient is in, or all layers when all are in."""
        for step in itertools.count():
            updated = self.updated[step + 1]
            arrived: list[int] = []
            while len(arrived) < len(self.plan.layers):
                complete = self.reduced.take() if self.reduced.has_item() else (yield self.reduced.wait())
                arrived += complete
                if not self.plan.waits_for_norm:
                    yield from self.update(complete, step, updated)
            if self.plan.waits_for_norm:
                yield from self.update(sorted(arrived), step, updated)

    def update(self, layers: list[int], step: int, updated: list[simpy.Event]) -> Process:
        """Some layers' parameters get their new values, one after another."""
        arrived_s = self.clock.now
        for layer in layers:
            start_s = self.clock.now
            self.gradient_arrived_s[layer] = arrived_s
            yield self.clock.timeout(self.plan.update_s[layer])
            self.trace.append(Span("optimizer", "update", layer, "", step, 0, start_s, self.clock.now))
            updated[layer].succeed()

    def prepare_input(self, system: CSSystem) -> Process:
        """Input workers prepare micro-batches, as long as there is room for them."""
        worker, workers = system.kind.worker_samples_per_s, f"input.{system.index}"
        for moment in self.moments():
            room = system.input_room.take(1)
            if room is not None:
                yield room
            if worker is not None:
                start_s = self.clock.now
                yield self.clock.timeout(self.plan.micro_batch_size / (worker * self.plan.input_workers))
                self.note(workers, "prepare", self.plan.sweeps[0], moment, start_s)
            system.prepared.put()

    def send_input(self, system: CSSystem) -> Process:
        """A prepared micro-batch goes to the wafer ahead of its first weights."""
        sweep, size, part = self.plan.sweeps[0], self.plan.input_bytes, f"port_in.{system.index}"
        for moment in self.moments():
            if system.prepared.has_item():
                system.prepared.take()
            else:
                yield system.prepared.wait()
            ticket = moment.number * self.order.num_in
            yield from self.move(system.port_in, ticket, system, part, "input", sweep, moment, size)
            system.inputs.put()

    def save_activations(self, system: CSSystem) -> Process:
        """What the backward pass needs leaves the wafer after each forward sweep."""
        part = f"port_out.{system.index}"
        for moment in self.moments():
            first = moment.number * self.order.num_out
            for sweep, ticket in zip(self.plan.sweeps, self.order.first_out, strict=True):
                if not sweep.saved_bytes:
                    continue
                if system.to_save.has_item():
                    system.to_save.take()
                else:
                    yield system.to_save.wait()
                size = sweep.saved_bytes
                yield from self.move(system.port_out, first + ticket, system, part, "activations", sweep, moment, size)
                system.saving_room.give(1)
            system.all_saved.put()

    def fetch_activations(self, system: CSSystem) -> Process:
        """What the backward pass needs comes back in reverse order, at most two layers ahead."""
        part = f"port_in.{system.index}"
        for moment in self.moments():
            first = moment.number * self.order.num_in
            if system.all_saved.has_item():
                system.all_saved.take()
            else:
                yield system.all_saved.wait()
            for sweep, ticket in zip(self.plan.sweeps, self.order.first_in, strict=True):
                if not sweep.fetched_bytes:
                    continue
                room = system.activation_room.take(1)
                if room is not None:
                    yield room
                size = sweep.fetched_bytes
                yield from self.move(system.port_in, first + ticket, system, part, "activations", sweep, moment, size)
                system.activations.put()

    def move(
        self,
        port: Turnstile,
        ticket: int,
        system: CSSystem,
        part: str,
        kind: str,
        sweep: Sweep,
        moment: Moment,
        size: int,
    ) -> Process:
        """One transfer of one system over its port, outside the tree."""
        turn = port.take(ticket)
        if turn is not None:
            yield turn
        start_s = self.clock.now
        yield self.clock.timeout(size / system.kind.io_bytes_per_s)
        self.note(part, kind, sweep, moment, start_s, size)
        port.give()

    def note(self, part: str, kind: str, sweep: Sweep, moment: Moment, start_s: float, num_bytes: int = 0) -> None:
        """Remember a span that ends now, if it took any time."""
        now = self.clock.now
        if now > start_s:
            span = Span(part, kind, sweep.layer, sweep.phase, moment.step, moment.micro_batch, start_s, now, num_bytes)
            self.trace.append(span)

    def note_weight_wait(self, wafer: str, sweep: Sweep, moment: Moment, start_s: float, chunk: Chunk) -> None:
        """Split a wait for weights by what held them up: gradients, the update, room elsewhere, the way."""
        for kind, end_s in (
            ("wait_gradients", chunk.gradient_s),
            ("wait_optimizer", chunk.update_s),
            ("wait_stragglers", chunk.room_s),
            ("wait_weights", self.clock.now),
        ):
            if end_s > start_s:
                span = Span(wafer, kind, sweep.layer, sweep.phase, moment.step, moment.micro_batch, start_s, end_s)
                self.trace.append(span)
                start_s = end_s


def fabric_rate_bytes_per_s(cluster: ClusterSpec, plan: Plan) -> float:
    """Rate of the tree: that of its slowest link or port. [bytes/s]"""
    slowest = min(min(kind.io_bytes_per_s, kind.link_bytes_per_s) for kind in plan.classes)
    return min(slowest, cluster.swarmx.link_bytes_per_s) if cluster.num_systems > 1 else slowest


SCHEDULES = {"weight_streaming": WeightStreaming}
"""Execution modes by name."""
