"""What happens to a job besides its steps: the ``[job]`` table, and how often parts of a cluster fail."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from wsesim.config.spec import NotNegative, Positive, Spec

LongTime = Annotated[float, Field(ge=1, le=1e13)]
"""A mean time between failures: a part that fails every second is none. [s]"""


class JobSpec(Spec):
    """The ``[job]`` table of a run file, laid over that of its cluster; left out, nothing but steps takes time.

    Attributes
    ----------
    compile_s
        The program is compiled, before anything else. [s]
    queue_s
        Then the job waits for its systems. [s]
    start_up_s
        Then they start. [s]
    staging_s
        Then data and initial weights are put in place. [s]
    evaluation_every_steps
        Steps between two evaluations; left out, there is none. [-]
    evaluation_s
        Time of one evaluation. [s]
    evaluation_sequences
        Sequences of one evaluation, at the rate of forward passes alone, in place of its time. [-]
    checkpoint_interval_s
        Steps between two checkpoints take so long; "optimal" takes Daly's formula. [s]
    checkpoint_bytes_per_parameter
        Weights and optimizer state on storage. [bytes]
    checkpoint_bytes_per_s
        To and from storage; left out, checkpoints take `checkpoint_least_s`. [bytes/s]
    checkpoint_begin_s
        Time of a checkpoint before its first byte. [s]
    checkpoint_least_s
        Shortest time of a checkpoint. [s]
    checkpoint_ahead_steps
        Steps that may run while a checkpoint is written; then they wait for it. 0 stops for the whole of it. [-]
    restart_s
        From a failure, or from the part that replaces it, to a job that runs; reading the checkpoint comes on top. [s]
    on_failure
        A spare takes the place of a failed system ("spare"), the job goes on with fewer ("shrink"), or
        it waits until the system is repaired ("wait").
    spares
        Systems, or GPU nodes, that stand by; "auto" is the mean number in repair and three standard deviations. [-]
    repair_s
        From the failure of a system, or GPU node, until it can be used again. [s]
    replications
        How many times the job is simulated, each with failures of its own. [-]
    seed
        Of all random numbers: the same seed, the same failures. [-]
    """

    compile_s: NotNegative = 0.0
    queue_s: NotNegative = 0.0
    start_up_s: NotNegative = 0.0
    staging_s: NotNegative = 0.0
    evaluation_every_steps: Annotated[int, Field(gt=0, le=10**12)] | None = None
    evaluation_s: NotNegative = 0.0
    evaluation_sequences: Annotated[int, Field(gt=0, le=10**15)] | None = None
    checkpoint_interval_s: Positive | Literal["optimal"] = "optimal"
    checkpoint_bytes_per_parameter: NotNegative = 0.0
    checkpoint_bytes_per_s: Positive | None = None
    checkpoint_begin_s: NotNegative = 0.0
    checkpoint_least_s: NotNegative = 0.0
    checkpoint_ahead_steps: Annotated[int, Field(ge=0, le=10**9)] = 0
    restart_s: NotNegative = 0.0
    on_failure: Literal["spare", "shrink", "wait"] = "spare"
    spares: Annotated[int, Field(ge=0, le=100_000)] | Literal["auto"] = "auto"
    repair_s: NotNegative = 0.0
    replications: Annotated[int, Field(gt=0, le=100_000)] = 200
    seed: Annotated[int, Field(ge=0, le=10**12)] = 0


class ReliabilitySpec(Spec):
    """How often parts of a wafer-scale cluster fail; what is left out never does.

    Attributes
    ----------
    system_mtbf_s
        Mean time between failures of one CS system that stop the job. [s]
    link_mtbf_s
        Mean time between failures of one link of the fabric; that of a system's port takes the system with it. [s]
    weight_server_mtbf_s
        Mean time between failures of one weight server of MemoryX. [s]
    num_weight_servers
        Weight servers of a job. [-]
    """

    system_mtbf_s: LongTime | None = None
    link_mtbf_s: LongTime | None = None
    weight_server_mtbf_s: LongTime | None = None
    num_weight_servers: Annotated[int, Field(ge=0, le=100_000)] = 0


class GPUReliabilitySpec(Spec):
    """How often parts of a GPU cluster fail; what is left out never does.

    Attributes
    ----------
    node_mtbf_s
        Mean time between failures of one node that stop the job: its GPUs, host and adapters. [s]
    job_mtbf_s
        Mean time between stops of a job that no node has caused, however many nodes it has: its own software and
        users, and what it shares with others. [s]
    """

    node_mtbf_s: LongTime | None = None
    job_mtbf_s: LongTime | None = None
