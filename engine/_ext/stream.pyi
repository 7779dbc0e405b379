import socket

from engine._ext.connection import Connection
from engine._ext.exchange import Exchange

class Stream(Connection):
    def __init__(self, exchange: Exchange, opened: socket.socket, *, trusted: bool) -> None: ...
    def abort(self) -> None: ...
