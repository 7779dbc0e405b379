"""F1: what goes over a socket, as values and bytes. Nothing here reads or writes one."""
