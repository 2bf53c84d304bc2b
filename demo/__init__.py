"""``make demo``: the node tracks a clip that another process plays over DDS."""
