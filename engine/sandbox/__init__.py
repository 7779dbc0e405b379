"""F1: limits on environments: one contract, one file per mechanism."""
