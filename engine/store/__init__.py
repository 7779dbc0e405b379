"""F1: code bundles and the catalog of functions."""
