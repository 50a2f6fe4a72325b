# %% [markdown]
# # Compare with GPUs
#
# The same model on twelve CS-2 systems and on 256 A100 GPUs, and how many of these GPUs would take as long.

# %%
import wsesim

compared = wsesim.compare("andromeda_13b", "gpt3_13b_256xa100", same_time=True)
compared

# %% [markdown]
# ## What it takes to get there
#
# A wafer-scale cluster runs data parallel, whatever the size of the model. On GPUs the model has to be spread: the plan
# was searched, and this is what it chose.

# %%
wafers, gpus = compared.results
print("systems:", wafers.num_devices, "x", wafers.device)
print("GPUs:   ", gpus.num_devices, "x", gpus.device)
for key, value in gpus.plan.items():
    print(f"  {key} = {value}")

# %% [markdown]
# ## Other GPUs
#
# A run takes the same changes as on the command line, and so does a comparison of runs.

# %%
h100 = wsesim.load("gpt3_13b_256xa100", ["name=GPT-3 13B on 128 H100", "cluster.name=dgx_h100", "cluster.num_gpus=128"])
figures = wsesim.compare(wafers, gpus, h100).to_dict()["runs"]
for one in figures:
    print(f"{one['name']:31} {one['tokens_per_s']:9,.0f} tokens/s {one['tokens_per_s_per_kw']:7,.0f} tokens/s per kW")

# %% [markdown]
# Each number has a status: `uncertain` names those that rest on an assumption or of which only a range is known.

# %%
for one in figures:
    print(f"{one['name']:31} {', '.join(one['uncertain'])}")
