"""Many runs, and what they answer: sweeps, goals, the lifetime of a job, a portfolio of jobs."""
