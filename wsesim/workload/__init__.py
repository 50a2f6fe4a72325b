"""Parameters, FLOP and bytes of models; no hardware, no time."""
