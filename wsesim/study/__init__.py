"""Questions over many runs: scaling, comparisons, sweeps, goals, lifetimes, portfolios."""
