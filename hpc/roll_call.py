"""Which rank ended first: each one that `--ranks` starts holds a connection as long as it lives.

Why not leave it to the launcher: Open MPI's does not always say which rank was killed. The system
closes the connection of a killed process at once, before the launcher ends the others.
"""

from __future__ import annotations

import os
import selectors
import shutil
import socket
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType

LOOKED_EVERY_S = 0.2
"""Whether it is over; connections are seen at once."""


class RollCall:
    """The ranks that have come and gone, in that order; a context in which they are awaited.

    Args:
        ranks: how many were started.

    Attributes:
        came: the ranks that have answered.
        path: of the socket; None where the system allows none, as at a path that is too long.
    """

    def __init__(self, ranks: int) -> None:
        self._ranks = ranks
        self.came: list[int] = []
        self._went: list[int] = []
        self._processes: dict[int, int] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self.path: str | None = None

    def __enter__(self) -> RollCall:
        self._place = tempfile.mkdtemp(prefix="biosim-")
        self._door = socket.socket(socket.AF_UNIX)
        path = str(Path(self._place) / "roll-call")
        try:
            self._door.bind(path)
        except OSError:
            return self
        self.path = path
        self._door.listen(self._ranks)
        self._door.setblocking(False)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
        self._door.close()  # where nobody listened
        shutil.rmtree(self._place, ignore_errors=True)

    def tell(self, number: int) -> bool:
        """Send a signal to all ranks; return False if not all have come."""
        processes = list(self._processes.values())
        if len(self.came) < self._ranks:
            return False
        for process in processes:
            with suppress(ProcessLookupError):
                os.kill(process, number)
        return True

    def first_gone(self) -> int | None:
        """Return the rank that ended first, or the only one that never came; None if unknown."""
        if self._went:
            return self._went[0]
        missing = set(range(self._ranks)) - set(self.came)
        return missing.pop() if self.came and len(missing) == 1 else None

    def _listen(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._door, selectors.EVENT_READ, bytearray())
            last = False
            while not last:
                last = self._over.is_set()
                for key, _ in selector.select(0 if last else LOOKED_EVERY_S):
                    assert isinstance(key.fileobj, socket.socket)
                    if key.fileobj is self._door:
                        line, _ = self._door.accept()
                        line.setblocking(False)
                        selector.register(line, selectors.EVENT_READ, bytearray())
                    elif self._heard(key.fileobj, key.data):
                        selector.unregister(key.fileobj)
                        key.fileobj.close()
            for key in selector.get_map().values():
                assert isinstance(key.fileobj, socket.socket)
                key.fileobj.close()

    def _heard(self, line: socket.socket, said: bytearray) -> bool:
        """Return whether the rank at the other end is gone."""
        try:
            more = line.recv(64)
        except OSError:
            more = b""
        said += more
        if more:
            if said.endswith(b"\n"):
                rank, process = map(int, said.split())
                self.came.append(rank)
                self._processes[rank] = process
        elif said.endswith(b"\n"):
            rank = int(said.split()[0])
            self._went.append(rank)
            del self._processes[rank]
        return not more
