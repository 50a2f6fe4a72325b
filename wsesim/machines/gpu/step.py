"""One step of a GPU run: everything that a report, a page or a program wants to know about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from wsesim.config.loader import load_software
from wsesim.config.training import is_training
from wsesim.engine.program import Span
from wsesim.errors import ConfigError
from wsesim.machines.gpu.doubts import bounds_of, is_beyond, is_measured
from wsesim.machines.gpu.kernels import kernel_name
from wsesim.machines.gpu.parallelism import SWITCHES
from wsesim.machines.gpu.search import closed_form_of_plan_s, describe
from wsesim.machines.gpu.search import step_time_s as simulated_s
from wsesim.machines.gpu.simulation import GPUSimulation
from wsesim.machines.gpu.spec import ORDINARY, GPURun
from wsesim.machines.gpu.stages import NONE, group_size, layers_of_stages, recompute_said
from wsesim.machines.gpu.times import flop_of, product_precision, times_of_plan
from wsesim.machines.gpu.words import CATEGORIES
from wsesim.results.intervals import Bounds
from wsesim.results.result import FORWARD_SHARE
from wsesim.results.step import Step
from wsesim.units import add_up
from wsesim.workload.transformer import model_flop_per_sequence

NOT_SETTINGS = ("expert_tensor_parallel_size", "layers_per_stage", "micro_batch_group_size")
"""Parts of a plan that follow from others unless stages differ."""
LONG_WAIT = 0.1
"""Share of a step that stages wait for one another, above which it is said what would shorten it. [-]"""
OF_TRAINING = ("activation_recompute", "pipeline_schedule")
"""Parts of ``[parallelism]`` without effect in an evaluation."""
OVERRIDDEN = ("launch_latency_s", "loss_bytes_per_logit", "optimizer_bytes_per_parameter")
"""Numbers of a calibration that software may state otherwise."""

NEARLY_FULL = 0.95
"""Share of a GPU's memory above which a run says that it is tight. [-]"""


@dataclass(frozen=True, eq=False)
class GPUStep(Step):
    """One step of a GPU run with its plan."""

    run: GPURun
    simulation: GPUSimulation

    @property
    def time_s(self) -> float:
        """In the steady state. [s]"""
        return self.simulation.step_time_s

    @property
    def peak_flop_per_s(self) -> float:
        """Dense peak of all GPUs at the run's precision. [FLOP/s]"""
        gpu = self.run.cluster.gpu
        peaks = {
            "float32": gpu.peak_dense_32bit_flop_per_s,
            "fp8": gpu.peak_dense_8bit_flop_per_s,
            "mxfp8": gpu.peak_dense_8bit_flop_per_s,
            "nvfp4": gpu.peak_dense_4bit_flop_per_s,
        }
        return self.run.num_devices * (peaks.get(self.run.training.precision) or gpu.peak_dense_16bit_flop_per_s)

    @property
    def model_flop(self) -> float:
        """Of one step, attention over the full square. [FLOP]"""
        training = self.run.training
        share = 1.0 if is_training(training) else FORWARD_SHARE
        return share * model_flop_per_sequence(self.run.model, training.sequence_length) * training.global_batch_size

    @property
    def flop(self) -> float:
        """Model FLOP, attention over the full square, and what all GPUs compute again. [FLOP]"""
        plan = self.simulation.plan
        once = flop_of(self.run, plan._replace(recompute=NONE).table).item()
        return self.model_flop * float(self.simulation.times.flop / once)

    @property
    def micro_batch_size(self) -> int:
        """Sequences of one copy of the model and pass. [-]"""
        return self.simulation.plan.micro_batch_size

    @property
    def num_micro_batches(self) -> int:
        """Passes per step. [-]"""
        return self.simulation.plan.num_micro_batches

    @property
    def last_micro_batch_size(self) -> int:
        """Sequences of the last pass of a step, which may be fewer. [-]"""
        return self.simulation.plan.last_micro_batch_size

    @cached_property
    def spent_s(self) -> dict[str, float]:
        """Where the time of a step goes, on average over the stages. [s]"""
        return {name: self.simulation.spent_s[name] for name in CATEGORIES if name in self.simulation.spent_s}

    @cached_property
    def plan(self) -> dict[str, Any]:
        """How the model is spread, in the words of ``[parallelism]``."""
        plan = self.simulation.plan
        return {
            "tensor_parallel_size": plan.tensor,
            "pipeline_parallel_size": plan.pipeline,
            "data_parallel_size": plan.data,
            "context_parallel_size": plan.context,
            "expert_parallel_size": plan.expert,
            "expert_tensor_parallel_size": plan.expert_tensor,
            "virtual_pipeline_size": plan.chunks,
            "micro_batch_group_size": plan.group if plan.chunks > 1 else 1,
            "layers_per_stage": list(layers_of_stages(self.run, plan)),
            "sequence_parallel": plan.sequence_parallel,
            "zero_stage": plan.zero_stage,
            "shard_group_size": plan.shard,
            "activation_recompute": recompute_said(self.run, plan),
        }

    @property
    def kinds_of_parallelism(self) -> tuple[str, ...]:
        """Which there are in the plan."""
        plan = self.plan
        kinds = {
            "data": plan["data_parallel_size"] > 1,
            "sharded data": plan["zero_stage"] > 0 and plan["shard_group_size"] > 1,
            "tensor": plan["tensor_parallel_size"] > 1,
            "sequence": plan["sequence_parallel"],
            "pipeline": plan["pipeline_parallel_size"] > 1,
            "interleaved pipeline": plan["virtual_pipeline_size"] > 1,
            "context": plan["context_parallel_size"] > 1,
            "expert": plan["expert_parallel_size"] > 1,
        }
        return tuple(kind for kind, there in kinds.items() if there)

    @property
    def num_settings(self) -> int:
        """Settings that had to be right: those of the plan that are not trivial, and the micro-batch. [-]"""
        trivial = (1, 0, False, "none")
        dealt = len(set(self.plan["layers_per_stage"])) > 1
        return 1 + dealt + sum(value not in trivial for key, value in self.plan.items() if key not in NOT_SETTINGS)

    def bottleneck(self) -> str:
        """What takes most of the step, and what would move it, by the closed form."""
        largest = max(self.spent_s, key=self.spent_s.__getitem__)
        share = self.spent_s[largest] / self.time_s
        best, gain = max(self._levers.items(), key=lambda item: item[1])
        return f"{largest} ({share:.0%} of the step): {CATEGORIES[largest]}; {best} would make it {gain:.1%} faster"

    def changes(self) -> dict[str, float]:
        """Changes of the machine and the batch, and by what share each shortens the step, or its time per token. [-]"""
        return {words: 1.0 - 1.0 / (1.0 + gain) for words, gain in self._levers.items()}

    @cached_property
    def _levers(self) -> dict[str, float]:
        """Changes of the machine, and by how much faster the step would be. [-]"""
        plan, cluster = self.simulation.plan, self.run.cluster
        gpu, fitted = cluster.gpu, cluster.gpu.calibration
        key = f"products_{product_precision(self.run)}"
        products = getattr(fitted, key)
        better = fitted.model_copy(update={key: products.model_copy(update={"rate_share": products.rate_share * 1.1})})
        changes: dict[str, dict[str, Any]] = {
            "matrix products at a 10 % higher rate": {"gpu": gpu.model_copy(update={"calibration": better})},
            "twice the memory bandwidth": {
                "gpu": gpu.model_copy(update={"memory_bytes_per_s": 2.0 * gpu.memory_bytes_per_s})
            },
            "twice the NVLink rate": {
                "gpu": gpu.model_copy(update={"nvlink_bytes_per_s": 2.0 * gpu.nvlink_bytes_per_s})
            },
            "twice the network": {"node_network_bytes_per_s": 2.0 * cluster.node_network_bytes_per_s},
        }
        now_s = closed_form_of_plan_s(self.run, plan)
        found = {}
        for words, change in changes.items():
            changed = replace(self.run, cluster=cluster.model_copy(update=change))
            found[words] = now_s / closed_form_of_plan_s(changed, plan) - 1.0
        if plan.num_micro_batches > 1 or plan.pipeline > 1:
            twice = plan._replace(num_micro_batches=2 * plan.num_micro_batches)
            found["twice the global batch"] = 2.0 * now_s / closed_form_of_plan_s(self.run, twice) - 1.0
        return found

    @cached_property
    def utilization(self) -> dict[str, float]:
        """Share of the step in which a GPU computes, communicates in view, or idles. [-]"""
        spent = self.spent_s
        groups = {
            "gpu": ("kernels", "recompute", "optimizer"),
            "communication": ("tensor", "context", "expert", "pipeline", "data"),
            "idle": ("bubble", "launch", "host"),
        }
        return {name: add_up(spent.get(part, 0.0) for part in parts) / self.time_s for name, parts in groups.items()}

    @cached_property
    def memory(self) -> dict[str, float]:
        """What lies on the fullest GPU. [bytes]"""
        parts = {f"{name}_bytes": value for name, value in self.simulation.memory._asdict().items()}
        capacity = self.run.cluster.gpu.memory_bytes
        return {**parts, "gpu_bytes": add_up(parts.values()), "gpu_capacity_bytes": capacity}

    def efficiency(self) -> tuple[float, float]:
        """Speed over that of one copy of the model times their number; estimates that copy. [-]"""
        copies = self.simulation.plan.data
        return self._alone_s(1) / self.time_s, self._alone_s(copies) / self.time_s / copies

    def _alone_s(self, times_as_many: int) -> float:
        """Step time of one copy of the model with so many times its micro-batches. [s]"""
        plan = self.simulation.plan
        if plan.data == 1:
            return self.time_s
        sequences = -(-times_as_many * self.run.training.global_batch_size // plan.data)
        passes = -(-sequences // plan.micro_batch_size)
        alone = plan._replace(
            data=1,
            num_micro_batches=passes,
            last_micro_batch_size=sequences - (passes - 1) * plan.micro_batch_size,
            group=int(group_size(plan.pipeline, plan.chunks, passes)),
            shard=min(plan.shard, plan.context),
        )
        smaller = self.run.on(self.run.num_devices // plan.data)
        try:
            return simulated_s(smaller, alone, times_of_plan(smaller, alone))
        except ConfigError:  # more jobs than the limit
            return closed_form_of_plan_s(smaller, alone)

    def uses(self, key: str) -> bool:
        """Whether a number had a part in it."""
        last, run, plan = key.rsplit(".", 1)[-1], self.run, self.plan
        spans_nodes = run.num_devices > run.cluster.domain_size
        software, attention = run.cluster.software, kernel_name(run.cluster.gpu, run.parallelism.attention)
        unused = {
            "batched_gemm_efficiency": attention != "unfused",
            "peak_dense_32bit_flop_per_s": run.training.precision != "float32",
            "peak_dense_8bit_flop_per_s": run.training.precision not in ("fp8", "mxfp8"),
            "peak_dense_4bit_flop_per_s": run.training.precision != "nvfp4",
            "node_network_bytes_per_s": not spans_nodes,
            "network_efficiency": not spans_nodes,
            "network_latency_s": not spans_nodes,
            "overlap_slowdown": plan["zero_stage"] < 3 and plan["tensor_parallel_size"] == 1,
            "synchronization_s": not (software.synchronizes_sends or software.synchronizes_layers),
            **{name: f".calibration.{name}" in key and getattr(software, name) is not None for name in OVERRIDDEN},
            "num_gpus": True,
            "max_gpus": True,
            **dict.fromkeys(
                ("amortization_s", "purchase_price_usd_per_gpu"), run.cluster.price_usd_per_gpu_hour is not None
            ),
        }
        return self._kernel_in_use(key.split("."), attention) and not unused.get(last, False)

    def _kernel_in_use(self, parts: list[str], attention: str) -> bool:
        """Whether a kernel, a precision or NVLink has a part in this run; true of everything else."""
        if parts[-2] == "nvlink":
            return self.run.num_devices > 1
        if parts[-2].startswith("products_"):
            return parts[-2] in ("products_16bit", f"products_{product_precision(self.run)}")
        return parts[-3:-2] != ["attention"] or parts[-2] == attention

    @property
    def is_extrapolated(self) -> bool:
        """Whether nothing was measured on such a GPU, or of such a step."""
        return is_beyond(self.run)

    def _uneven_note(self) -> list[str]:
        """How a batch was dealt out that does not divide by the copies of the model."""
        batch, copies = self.run.training.global_batch_size, self.simulation.plan.data
        each, fuller = divmod(batch, copies)
        if not fuller:
            return []
        dealt = f"{fuller:,} take {each + 1:,} and {copies - fuller:,} take {each:,}"
        return [
            f"{batch:,} sequences do not divide by {copies:,} copies of the model: {dealt}; the fullest decides the time"
        ]

    def _evaluation_notes(self) -> list[str]:
        """That nothing is trained, which keys have no effect then, and that no such step was measured."""
        run = self.run
        if is_training(run.training):
            return []
        given = [
            f"training.{key}" for key in ("optimizer", "max_gradient_norm") if key in run.training.model_fields_set
        ]
        spread = run.parallelism.model_fields_set
        given += [f"parallelism.{key}" for key in OF_TRAINING if key in spread]
        given += ["parallelism.zero_stage"] if run.parallelism.zero_stage in (1, 2) else []
        without = f"; {', '.join(given)} {'have' if len(given) > 1 else 'has'} no effect" if given else ""
        return [
            f"an evaluation: forward passes only, and nothing is updated{without}",
            "no evaluation on GPUs was compared with measurements: the range is that of steps of training",
        ]

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know before using the numbers: what makes them doubtful first, what holds for all last."""
        best: list[str] = []
        if self.simulation.num_plans > 1:
            best.append(
                f"the plan is the best of {self.simulation.num_plans:,} by the slow end of its range, with "
                f"{self.run.parallelism.free_memory_share:.0%} of the memory left free: "
                f"{describe(self.run, self.simulation.plan)}"
            )
            best[:0] = self._not_searched()
        everywhere = "a step without failures, stragglers, data loading and checkpoints, which real runs have"
        return (*self._doubts(), *self._of_the_batch(), self._software_note, *best, everywhere)

    def _not_searched(self) -> list[str]:
        """What was left at its default, and would shorten the wait for other stages."""
        spec = self.run.parallelism
        is_left = "virtual_pipeline_size" not in spec.model_fields_set and spec.pipeline_schedule == "1f1b"
        if (
            not is_left
            or self.simulation.plan.pipeline == 1
            or self.spent_s.get("bubble", 0.0) < LONG_WAIT * self.time_s
        ):
            return []
        return ['interleaved stages, which wait less, were not searched: virtual_pipeline_size = "auto"']

    def _doubts(self) -> Iterator[str]:
        """Why less may come of it than is said."""
        gpu = self.run.cluster.gpu
        mfu = self.model_flop / self.time_s / self.peak_flop_per_s
        if gpu.best_measured_mfu is not None and mfu > gpu.best_measured_mfu:
            yield f"{mfu:.0%} MFU is above every published run on this GPU, of which the best is {gpu.best_measured_mfu:.0%}"
        if not is_measured(gpu):
            kernels = (
                "nothing was measured on it" if gpu.measured == "nothing" else f"of it {gpu.measured} were measured"
            )
            yield f"no training step on {gpu.name} was compared with predictions; {kernels}"
        if self.run.training.precision == "nvfp4":
            yield "of training in 4 bit the rate of products alone was measured: layers in more bits and transforms are not counted"
        if self.run.model.num_experts > 1:
            load = self.run.cluster.software.expert_imbalance
            shared = (
                "routing is taken to be balanced"
                if load == 1
                else f"the fullest GPU's experts get {load:g} times the mean"
            )
            yield f"{shared}; of mixtures of experts, H100 and B200 were compared (`wsesim validate`)"
        filled = self.memory["gpu_bytes"] / self.memory["gpu_capacity_bytes"]
        if filled > NEARLY_FULL:
            yield f"{filled:.0%} of the memory is used, which an allocator may not manage without stalls"

    def _of_the_batch(self) -> Iterator[str]:
        yield from self._evaluation_notes()
        yield from self._uneven_note()
        if self.last_micro_batch_size < self.micro_batch_size:
            yield (
                f"micro-batches of {self.micro_batch_size} do not divide the batch of a copy: the last one has "
                f"{self.last_micro_batch_size} sequences"
            )

    @property
    def software(self) -> str:
        """Profile of the training software."""
        return str(self.run.cluster.software_profile)

    @cached_property
    def software_changes(self) -> dict[str, Any]:
        """What the run has otherwise than its profile, by key."""
        profile, own = load_software(self.software), self.run.cluster.software
        said = own.model_dump() | {key: getattr(self.run.parallelism, key) for key in SWITCHES}
        return {key: value for key, value in said.items() if value != getattr(profile, key)}

    @property
    def _software_note(self) -> str:
        """Which software the answer takes, and what the run has otherwise."""
        name, title = self.software, self.run.cluster.software.title
        taken = f"software: nobody named any, taken as {name!r}" if name == ORDINARY else f"software: {name!r}"
        changes = ", ".join(f"{key} = {value}" for key, value in self.software_changes.items())
        said = title[:1].lower() + title[1:] if name == ORDINARY else title
        return f"{taken}, {said}" + (f"; but {changes}" if changes else "")

    @cached_property
    def bounds(self) -> Bounds:
        """By how much it may be faster or slower in nine cases of ten."""
        return bounds_of(self.run, self.simulation.plan)

    @property
    def trace(self) -> tuple[Span, ...]:
        """Spans of the simulated step."""
        return self.simulation.trace

    @property
    def num_events(self) -> int:
        """SimPy events. [-]"""
        return self.simulation.num_events

    @property
    def wall_s(self) -> float:
        """Wall time of the simulation, the search of a plan included. [s]"""
        return self.simulation.wall_s

    @property
    def simulator(self) -> dict[str, Any]:
        """Engine, events, and plans that were searched."""
        return {"engine": "simpy", "events": self.num_events, "plans": self.simulation.num_plans}
