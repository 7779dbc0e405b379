"""F3: asynchronous invocation: events kept, run, tried again, and where their results go."""
