"""A wire between a site and the coordinator that can be cut: a TCP relay on loopback."""

import contextlib
import select
import socket
import threading


class Wire:
    """Carries bytes between whoever connects and a port of this machine, unless it is cut.

    Args:
        target: the port that it leads to.
    """

    def __init__(self, target: int) -> None:
        self.target, self.is_cut, self.ended = target, False, False
        self.open: set[socket.socket] = set()
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        threading.Thread(target=self._listen, daemon=True).start()

    def cut(self) -> None:
        """End all connections, and let no new one through."""
        self.is_cut = True
        for one in list(self.open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        """Let connections through again."""
        self.is_cut = False

    def close(self) -> None:
        """End for good."""
        self.ended = True
        self.cut()
        self.listening.close()

    def _listen(self) -> None:
        while not self.ended:
            if not select.select([self.listening], [], [], 0.5)[0]:
                continue
            with contextlib.suppress(OSError):
                here, _ = self.listening.accept()
                if self.is_cut:
                    here.close()
                else:
                    threading.Thread(target=self._carry, args=(here,), daemon=True).start()

    def _carry(self, here: socket.socket) -> None:
        with (
            here,
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", self.target)) as there,
        ):
            self.open |= {here, there}
            other = {here: there, there: here}
            try:
                while True:
                    for one in select.select([here, there], [], [])[0]:
                        data = one.recv(65536)
                        if not data:
                            return
                        other[one].sendall(data)
            finally:
                self.open -= {here, there}
