"""F1: languages other than the engine's own Python: what the host has of them, and how they are started."""
