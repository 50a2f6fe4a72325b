# %% [markdown]
# # Plan a quarter
#
# Which clusters meet a goal, when does the job really end, and who runs when on a cluster that teams share?

# %%
import wsesim

answer = wsesim.plan(
    model="cerebras-gpt-6.7b", deadline="30 d", budget="200 kUSD", clusters=["andromeda", "condor_galaxy_1", "aws_p4d"]
)
answer

# %% [markdown]
# The smallest of each cluster, as data:

# %%
for one in answer.smallest:
    print(f"{one.cluster}: {one.num_devices} for {one.time_s.value / 86400.0:.1f} days, {one.cost_usd.value:,.0f} USD")

# %% [markdown]
# ## The whole life of the largest job
#
# Steps are not all: compile, checkpoints, failures and repairs come on top. Failures are random, and the same for the
# same seed.

# %%
wsesim.lifetime(wsesim.load("andromeda_13b"), replications=50, seed=1)

# %% [markdown]
# ## All jobs of the quarter
#
# `portfolio.toml` lists the jobs of several teams, with priorities, earliest starts and deadlines.

# %%
wsesim.portfolio("portfolio.toml", "deadline")

# %% [markdown]
# How many systems would be enough to be done in 30 days?

# %%
enough = wsesim.portfolio("portfolio.toml", "deadline", by="30 days").schedule
print(f"{enough.num_systems} systems, done after {enough.makespan_s / 86400.0:.1f} days")
