"""F1: files that runtimes are started with. In a sandbox they are all that is seen of this package."""
