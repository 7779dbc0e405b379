"""F3: how long an idle environment is kept, when one is started ahead of need, and which goes when memory is short."""
