"""Values: one step, the answer of a run, its range, the whole job, and what a model has learned."""
