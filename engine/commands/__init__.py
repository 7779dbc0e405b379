"""F6: the subcommands of `engine` that are no door's own. The group that they belong to is `engine/cli.py`."""
