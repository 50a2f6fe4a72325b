"""wsesim: a discrete-event simulator of wafer-scale training clusters."""
