"""F2: clients of an engine that serves on a socket: for event loops in `asynchronous`, for threads in `blocking`."""
