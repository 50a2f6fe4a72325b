# %% [markdown]
# # Compare with GPUs
#
# The same job, a model and its tokens, on twelve CS-2 systems, on 256 A100 and on 128 H100; and how many of these GPUs would
# take as long, or cost as much.

# %%
import wsesim

compared = wsesim.compare("andromeda_13b", elsewhere=["dgx_a100_80gb:256", "dgx_h100:128"], same=["time", "cost"])
compared

# %% [markdown]
# ## What it takes to get there
#
# A wafer-scale cluster runs data parallel, whatever the size of the model. On GPUs the model has to be spread: the plan
# was searched, and this is what it chose.

# %%
wafers, gpus, _ = compared.results
print("systems:", wafers.num_devices, "x", wafers.device)
print("GPUs:   ", gpus.num_devices, "x", gpus.device)
for key, value in gpus.plan.items():
    print(f"  {key} = {value}")

# %% [markdown]
# ## What each device does
#
# Figures of all runs are one table, in SI units.

# %%
figures = compared.to_dict()["runs"]
for one in figures:
    print(f"{one['name']:45} {one['tokens_per_s']:9,.0f} tokens/s {one['tokens_per_s_per_kw']:7,.0f} tokens/s per kW")

# %% [markdown]
# Each number has a status: `uncertain` names those that rest on an assumption or of which only a range is known.

# %%
for one in figures:
    print(f"{one['name']:45} {', '.join(one['uncertain'])}")
