"""Weight streaming: who waits for whom.

MemoryX sends each layer's weights down the tree, chunk by chunk, forward and then in
reverse for the gradients of inputs, again for every micro-batch. The wafer computes a chunk while
it streams past, and the weights of the next pass start when this pass is over: no wafer holds them. A third
pass of each layer computes the gradients of its weights, which leave while they are computed, and is over when the
last has left. MemoryX updates a layer's parameters when the last micro-batch's gradient is in, and the next
step's weights wait for that. The functions below are these sentences; they write them down as a program of jobs,
which `wsesim.engine` runs.

Everything passes in program order, also over the ports: the compiler fixes the order, as
the program is the same on every system.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

from wsesim.engine.program import Job, Key, Need, Numbers, Program, Room, Worker
from wsesim.machines.wafer.plan import Pass, Phase, Plan, Transport, Visit
from wsesim.machines.wafer.spec import LAYERS_IN_FLIGHT
from wsesim.machines.wafer.swarmx import SystemClass

Row = TypeVar("Row", Pass, SystemClass, Transport)

INPUT_WORKERS = Worker("input")
INPUT = Worker("port_in_input")
MEMORYX = Worker("swarmx_down", shared=True)
WAFER = Worker("wafer", notes_waits=True)
SAVING = Worker("port_out_activations")
FETCHING = Worker("port_in_activations")
SWARMX = Worker("swarmx_up", shared=True)
OPTIMIZER = Worker("optimizer", shared=True)

PORT_IN, PORT_OUT = "port_in", "port_out"
WEIGHT_ROOM, GRADIENT_ROOM = "weight_room", "gradient_room"
INPUT_ROOM, SAVING_ROOM, FETCHING_ROOM = "input_room", "saving_room", "fetching_room"


TOGETHER = "together_"
"""Beginning of the names of numbers of a piece that stands for many chunks."""


class KindShape(NamedTuple):
    """What of a kind of pass decides which jobs there are, but not how long they take.

    Attributes
    ----------
    pieces
        Chunks that are simulated each, and then those that are one piece, and the last; all alike where none are. [-]
    merges
        Whether the last piece but one stands for many chunks.
    """

    phase: Phase
    pieces: int
    merges: bool
    streams_table: bool
    saves: bool
    fetches: bool
    attends: bool
    is_late: bool


class Shape(NamedTuple):
    """What of a plan decides which jobs there are."""

    visits: tuple[Visit, ...]
    kinds: tuple[KindShape, ...]
    update_kinds: tuple[int, ...]
    waits_for_norm: bool


def shape_of(plan: Plan) -> Shape:
    """The shape of a plan; plans of one shape run the same program with other numbers."""
    kinds = tuple(
        [
            KindShape(
                kind.phase,
                kind.num_apart + 2 if kind.num_apart else kind.num_chunks,
                kind.num_apart > 0,
                kind.streams_table,
                kind.saved_bytes > 0,
                kind.fetched_bytes > 0,
                kind.attention_s > 0,
                kind.latency_s > 0,
            )
            for kind in plan.kinds
        ]
    )
    return Shape(plan.visits, kinds, plan.update_kinds, plan.waits_for_norm)


def num_jobs(shape: Shape) -> int:
    """Jobs of one micro-batch, counted without writing them. [-]"""
    each = [_jobs_of(kind) for kind in shape.kinds]
    return sum([each[visit.kind] for visit in shape.visits]) + 3


def _jobs_of(kind: KindShape) -> int:
    starts = kind.phase != "gradient"
    return 2 * kind.pieces + 1 + starts + kind.attends + 2 * kind.saves + 2 * kind.fetches


def piece(name: str, kind: KindShape, number: int) -> str:
    """What the number of a chunk is called for one piece of a pass."""
    return f"{TOGETHER}{name}" if kind.merges and number == kind.pieces - 2 else name


class WeightStreaming:
    """Writes the jobs of one micro-batch, and of the end of a step, into a program."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.program = Program(decisive=WAFER)
        self.num_jobs = num_jobs(shape)
        self.last_save = self.last_pass = -1
        self.last_gradient: dict[int, int] = {}
        self.updates = any(kind.phase == "gradient" for kind in shape.kinds)
        self._positions = {layer: place for place, layer in enumerate(self.update_order())}

    def write(self) -> Program:
        """The whole program."""
        self.begin()
        for visit in self.shape.visits:
            self.layer_pass(visit)
        if len(self.program.jobs) != self.num_jobs:
            raise ValueError(f"{len(self.program.jobs)} jobs were written, {self.num_jobs} were counted")
        self.update()
        return self.program

    def do(
        self,
        worker: Worker,
        kind: str,
        visit: Visit | None = None,
        *,
        duration: Key | None = None,
        latency: str | None = None,
        needs: tuple[Need, ...] = (),
        room: Room | None = None,
        frees: Room | None = None,
        port: str | None = None,
        moves: Key | None = None,
    ) -> int:
        """Write one job; its index."""
        index = len(self.program.jobs)
        layer, phase = self.place(visit)
        job = Job(index, worker, kind, layer, phase, duration, latency, needs, room, port, frees, moves)
        self.program.jobs.append(job)
        return index

    def place(self, visit: Visit | None) -> tuple[int, str]:
        """Layer and phase for the trace."""
        if visit is None:
            return -1, ""
        return visit.layer, self.shape.kinds[visit.kind].phase

    def begin(self) -> None:
        """Input workers prepare a micro-batch; it goes to the wafer ahead of the first weights."""
        room = Room(INPUT_ROOM, "input")
        prepared = self.do(INPUT_WORKERS, "prepare", duration=("prepare_s", 0), room=room)
        sent = self.do(
            INPUT,
            "input",
            duration=("input_s", 0),
            needs=(Need(prepared, "input"),),
            port=PORT_IN,
            moves=("input_bytes", 0),
        )
        self.last_pass = self.do(WAFER, "begin", needs=(Need(sent, "input"),), frees=room)

    def layer_pass(self, visit: Visit) -> None:
        """The wafer works through one layer in one pass."""
        kind = self.shape.kinds[visit.kind]
        if kind.fetches:
            self.fetch(visit)
        if kind.phase == "gradient":
            self.gradient_pass(visit, kind)
        else:
            self.weight_pass(visit, kind)
        if kind.saves:
            self.save(visit)

    def weight_pass(self, visit: Visit, kind: KindShape) -> None:
        """Weights come down the tree once they are updated and the pass before is over; the wafer computes a chunk as it arrives.

        The work on a chunk begins with its first byte, when the one before it is there; the pass is over when the last one is.
        """
        size = ("chunk_bytes", visit.kind)
        room = Room(WEIGHT_ROOM, "stragglers", size)
        updates = tuple(
            Need(self.num_jobs + self.update_position(layer), "optimizer", of_previous_step=True)
            for layer in self.tensors(visit)
            if self.updates
        )
        needs = (Need(self.last_pass, "stragglers"), *updates)
        arrives = self.do(MEMORYX, "start", visit, latency="down_latency_s", needs=needs, port=PORT_IN)
        for chunk in range(kind.pieces):
            used = (Need(arrives, "weights"),)
            arrives = self.do(
                MEMORYX,
                "transfer",
                visit,
                duration=(piece("down_s", kind, chunk), visit.kind),
                latency="down_latency_s",
                room=room,
                port=PORT_IN,
                moves=(piece("chunk_bytes", kind, chunk), visit.kind),
            )
            self.work(visit, kind, chunk, needs=used, frees=room)
        self.end_pass(visit, kind, needs=(Need(arrives, "weights"),), frees=room)

    def gradient_pass(self, visit: Visit, kind: KindShape) -> None:
        """Gradients of a chunk leave while they are computed, summed over all systems; the pass is over when the last has arrived.

        A chunk begins to leave when the one before it is computed, and takes room until it is gone.
        """
        size = ("chunk_bytes", visit.kind)
        room = Room(GRADIENT_ROOM, "gradients", size)
        made = self.last_pass
        for chunk in range(kind.pieces):
            is_last = chunk == kind.pieces - 1
            reduced = self.do(
                SWARMX,
                "transfer",
                visit,
                duration=(piece("up_s", kind, chunk), visit.kind),
                latency="up_latency_s" if is_last else None,
                needs=(Need(made, "gradients"),),
                port=PORT_OUT,
                frees=room if chunk > 0 else None,
                moves=(piece("chunk_bytes", kind, chunk), visit.kind),
            )
            made = self.work(visit, kind, chunk, room=room)
        self.end_pass(visit, kind, needs=(Need(reduced, "gradients"),), frees=room)
        self.last_gradient |= dict.fromkeys(self.tensors(visit), self.last_pass)

    def work(
        self,
        visit: Visit,
        kind: KindShape,
        chunk: int,
        *,
        needs: tuple[Need, ...] = (),
        room: Room | None = None,
        frees: Room | None = None,
    ) -> int:
        """The wafer computes a chunk; after the first one come the scores, while the other chunks stream."""
        given_back = frees if chunk > 0 else None
        done = self.do(
            WAFER,
            "gemm",
            visit,
            duration=(piece("chunk_s", kind, chunk), visit.kind),
            needs=needs,
            room=room,
            frees=given_back,
        )
        if kind.attends and chunk == 0:
            self.do(WAFER, "attention", visit, duration=("attention_s", visit.kind))
        return done

    def end_pass(self, visit: Visit, kind: KindShape, *, needs: tuple[Need, ...], frees: Room) -> None:
        """The latency that nothing hides: fill of the mesh, reduction on the wafer."""
        duration = ("latency_s", visit.kind) if kind.is_late else None
        self.last_pass = self.do(WAFER, "latency", visit, duration=duration, needs=needs, frees=frees)

    def save(self, visit: Visit) -> None:
        """What the backward pass needs leaves the wafer after a forward pass."""
        room = Room(SAVING_ROOM, "activations")
        handed = self.do(WAFER, "hand_over", visit, room=room)
        self.last_save = self.do(
            SAVING,
            "activations",
            visit,
            duration=("save_s", visit.kind),
            needs=(Need(handed, "activations"),),
            port=PORT_OUT,
            frees=room,
            moves=("saved_bytes", visit.kind),
        )

    def fetch(self, visit: Visit) -> None:
        """It comes back in reverse order once all has left, at most two layers ahead."""
        room = Room(FETCHING_ROOM, "activations")
        back = self.do(
            FETCHING,
            "activations",
            visit,
            duration=("fetch_s", visit.kind),
            needs=(Need(self.last_save, "activations"),),
            room=room,
            port=PORT_IN,
            moves=("fetched_bytes", visit.kind),
        )
        self.do(WAFER, "resume", visit, needs=(Need(back, "activations"),), frees=room)

    def tensors(self, visit: Visit) -> tuple[int, ...]:
        """Layers whose parameters pass: the layer's own, and the embedding's for a tied head."""
        return (visit.layer, 0) if self.shape.kinds[visit.kind].streams_table else (visit.layer,)

    def update_order(self) -> list[int]:
        """Layers in the order of their updates: forward after a norm, else as their gradients arrive."""
        layers = range(len(self.shape.update_kinds))
        if self.shape.waits_for_norm:
            return list(layers)
        last = {layer: place for place, visit in enumerate(self.shape.visits) for layer in self.tensors(visit)}
        return sorted(layers, key=lambda layer: (last[layer], layer != self.shape.visits[last[layer]].layer))

    def update_position(self, layer: int) -> int:
        """Place of a layer's update among the updates."""
        return self._positions[layer]

    def update(self) -> None:
        """MemoryX updates a layer when its gradient is in, or all layers when all are in; nothing in an evaluation."""
        if not self.updates:
            return
        last_of_all = max(self.last_gradient.values())
        for place, layer in enumerate(self.update_order()):
            gradient = last_of_all if self.shape.waits_for_norm else self.last_gradient[layer]
            is_new = place == 0 or not self.shape.waits_for_norm
            job = Job(
                self.num_jobs + place,
                OPTIMIZER,
                "update",
                layer,
                "",
                duration=("update_s", self.shape.update_kinds[layer]),
                needs=(Need(gradient, "gradients"),) if is_new else (),
            )
            self.program.closing.append(job)


@lru_cache(maxsize=64)
def write_program(shape: Shape) -> Program:
    """The program of a shape; the same object for the same shape."""
    return WeightStreaming(shape).write()


def numbers_of(plan: Plan) -> Numbers:
    """Durations, sizes and capacities of a plan, those of a class of systems for each class.

    Only sums, products and quotients: of a plan whose numbers are arrays over scenarios
    (`stacked`) it makes numbers that are arrays too.
    """
    classes, transport = plan.classes, plan.transport
    speeds, ports = [kind.speed for kind in classes], [kind.io_bytes_per_s for kind in classes]
    per_class: dict[Key, list[float]] = {
        ("prepare_s", 0): [
            plan.sequences_per_pass / (kind.worker_samples_per_s * plan.input_workers) for kind in classes
        ],
        ("input_s", 0): [plan.input_bytes / port for port in ports],
    }
    shared: dict[Key, float] = {("update_s", kind): value for kind, value in enumerate(plan.update_s)}
    sizes: dict[Key, int] = {("input_bytes", 0): plan.input_bytes}
    for index, layer_pass in enumerate(plan.kinds):
        per_class |= _pass_times(index, layer_pass, speeds, ports)
        shared["down_s", index] = layer_pass.chunk_bytes / layer_pass.rate_bytes_per_s
        shared["up_s", index] = layer_pass.chunk_bytes / transport.up_bytes_per_s
        shared[f"{TOGETHER}down_s", index] = layer_pass.num_together * shared["down_s", index]
        shared[f"{TOGETHER}up_s", index] = layer_pass.num_together * shared["up_s", index]
        sizes["chunk_bytes", index] = layer_pass.chunk_bytes
        sizes[f"{TOGETHER}chunk_bytes", index] = layer_pass.chunk_bytes * layer_pass.num_together
        sizes["saved_bytes", index] = layer_pass.saved_bytes
        sizes["fetched_bytes", index] = layer_pass.fetched_bytes
    return Numbers(
        per_class=per_class,
        shared=shared,
        sizes=sizes,
        latencies={
            "down_latency_s": [kind.latency_s + transport.tensor_latency_s for kind in classes],
            "up_latency_s": [transport.slowest_latency_s for _ in classes],
        },
        capacities={
            WEIGHT_ROOM: transport.weight_room_bytes,
            GRADIENT_ROOM: transport.gradient_room_bytes,
            INPUT_ROOM: transport.prefetched_micro_batches,
            SAVING_ROOM: LAYERS_IN_FLIGHT,
            FETCHING_ROOM: LAYERS_IN_FLIGHT,
        },
    )


def _pass_times(index: int, layer_pass: Pass, speeds: list[float], ports: list[float]) -> dict[Key, list[float]]:
    """Times of layer_pass kind of pass that differ from class to class. [s]"""
    chunk_s = layer_pass.gemm_s / layer_pass.num_chunks
    return {
        ("latency_s", index): [layer_pass.latency_s / speed for speed in speeds],
        ("chunk_s", index): [chunk_s / speed for speed in speeds],
        (f"{TOGETHER}chunk_s", index): [layer_pass.num_together * chunk_s / speed for speed in speeds],
        ("attention_s", index): [layer_pass.attention_s / speed for speed in speeds],
        ("save_s", index): [layer_pass.saved_bytes / port for port in ports],
        ("fetch_s", index): [layer_pass.fetched_bytes / port for port in ports],
    }


def stacked(plans: Sequence[Plan]) -> Plan:
    """One plan for plans of one shape: every number is an array, shape ``(num_plans,)``."""
    import numpy as np

    def column(values: Sequence[Any]) -> Any:
        return np.array(values) if isinstance(values[0], (int, float)) else values[0]

    def columns(rows: Sequence[Row]) -> Row:
        return type(rows[0])(*map(column, zip(*rows, strict=True)))

    first = plans[0]
    return first._replace(
        kinds=tuple(columns([plan.kinds[index] for plan in plans]) for index in range(len(first.kinds))),
        update_s=tuple(column(values) for values in zip(*(plan.update_s for plan in plans), strict=True)),
        micro_batch_size=column([plan.micro_batch_size for plan in plans]),
        sequences_per_pass=column([plan.sequences_per_pass for plan in plans]),
        input_bytes=column([plan.input_bytes for plan in plans]),
        input_workers=column([plan.input_workers for plan in plans]),
        classes=tuple(columns([plan.classes[index] for plan in plans]) for index in range(len(first.classes))),
        transport=columns([plan.transport for plan in plans]),
    )
