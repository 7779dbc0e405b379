"""F5: the engine as a service on sockets: MessagePack-RPC. Framing and the path of an invocation are compiled."""
