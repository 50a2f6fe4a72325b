# %% [markdown]
# # Scale a job
#
# How much faster is a training job on more systems, and what keeps it from being faster still?
# The job is Cerebras-GPT 13B on Andromeda; `wsesim list runs` names others, and a path of a run file works as well.

# %%
import wsesim

result = wsesim.simulate(wsesim.load("andromeda_13b"))
result

# %% [markdown]
# ## The same batch for each system
#
# Weak scaling: the file gives each system 90 sequences, so the global batch grows with the number of systems. `simulate_many`
# answers many runs at once, with the same numbers as `simulate`.

# %%
counts = (1, 2, 4, 8, 16)
runs = [wsesim.load("andromeda_13b", [f"cluster.num_systems={number}"]) for number in counts]
for one in wsesim.simulate_many(runs):
    print(
        f"{one.num_devices:3} systems: {one.tokens_per_s:9,.0f} tokens/s, {wsesim.scaling_efficiency(one)[0]:.1%} of linear"
    )

# %% [markdown]
# ## The same global batch
#
# Strong scaling keeps the 1,080 sequences of a step. Where they do not divide, the fullest system decides: 7 systems take
# 155 and 154.

# %%
whole = ["training.global_batch_size=1080"]
wsesim.sweep("andromeda_13b", {"cluster.num_systems": [1, 2, 4, 7, 8, 12, 15]}, settings=whole, workers=1)

# %% [markdown]
# ## What would move it
#
# Any key can be changed, those of the machine too. Products with weights take most of the step, so that a slower link
# costs nothing, and one system that computes at 80 % holds up all of them.

# %%
efficiency = result.run.cluster.system.calibration.gemm_efficiency
changes = {
    "as it is": [],
    "half the rate of each link": ["cluster.system.wafer.io_bytes_per_s=0.6 Tb/s"],
    "10 % more GEMM efficiency": [f"cluster.system.calibration.gemm_efficiency={1.1 * efficiency:.4f}"],
    "one slow system": ["cluster.exceptions=[{ systems = [3], speed = 0.8 }]"],
}
for words, settings in changes.items():
    changed = wsesim.simulate(wsesim.load("andromeda_13b", settings))
    print(f"{words:26}: {changed.step_time_s:6.3f} s, {changed.tokens_per_s / result.tokens_per_s - 1.0:+.1%}")
