"""Compiled modules; their sources are in ext/."""
