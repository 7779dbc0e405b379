"""F2: the Runtime API shim: an environment whose function runs in a process of another language.

It sits in the environment's sandbox as Lambda's own init does, starts the runtime, and serves it over HTTP.
"""
