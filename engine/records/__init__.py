"""F1: what an invocation leaves behind: bill, log, metrics."""
