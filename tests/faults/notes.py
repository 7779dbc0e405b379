"""Takes down what functions say while they run, over TCP: no kill can cut a line or lose one that was sent."""

from __future__ import annotations

import selectors
import socket
import threading

from doors import PATIENCE_S


class Notes:
    """Of connections without number, each with whole lines. A thread reads them as they come."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.address = list(self._listener.getsockname())  # as it goes into an event
        self._said: list[bytearray] = []
        self._last: object = None
        self._thread = threading.Thread(target=self._listen, name="notes")
        self._thread.start()

    def close(self) -> list[str]:
        """All lines, once everybody who could speak is gone."""
        with socket.socket() as last:
            last.bind(("127.0.0.1", 0))
            self._last = last.getsockname()
            last.connect(tuple(self.address))  # comes after all others: the listener takes them in order
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()
        self._listener.close()
        return [line for said in self._said for line in said.decode().split()]

    def _listen(self) -> None:
        over = False
        with selectors.DefaultSelector() as speakers:
            speakers.register(self._listener, selectors.EVENT_READ)
            while not over or len(speakers.get_map()) > 1:
                for key, _ in speakers.select():
                    if key.data is None:
                        speaker, name = self._listener.accept()
                        over = over or name == self._last
                        self._said.append(bytearray())
                        speakers.register(speaker, selectors.EVENT_READ, (speaker, self._said[-1]))
                    else:
                        self._hear(speakers, *key.data)

    def _hear(self, speakers: selectors.BaseSelector, speaker: socket.socket, said: bytearray) -> None:
        heard = speaker.recv(65_536)
        said += heard
        if not heard:
            speakers.unregister(speaker)
            speaker.close()
