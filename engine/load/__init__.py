"""F5: the load generator behind `engine bench`. It knows targets by their doors only, never the engine's inside."""
