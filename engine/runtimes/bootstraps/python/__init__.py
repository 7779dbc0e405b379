"""What the engine does inside a Python function's process, in plain Python 3.8 to 3.14, for its own version and others.

Within the engine it is part of the worker; `bootstrap.py` runs on another Python, where nothing else of the engine is.
"""
