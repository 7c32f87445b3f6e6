"""Child processes: read lines that the parent process sends to standard input, until it closes the pipe.

The parent keeps its end of the pipe open as long as the work is wanted. The system closes it when the parent
ends in any way, so that no process is left behind.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from queue import SimpleQueue


def lines(at_end: Callable[[], None]) -> SimpleQueue[bytes | None]:
    """Read standard input in a separate thread.

    Args:
        at_end: called in that thread when standard input ends.

    Returns:
        A queue with its lines, without line ends; after `at_end` has returned, `None`.
    """
    queue: SimpleQueue[bytes | None] = SimpleQueue()

    def read() -> None:
        rest = b""
        while piece := os.read(0, 4096):  # not sys.stdin: its lock would be held when the process ends
            *whole, rest = (rest + piece).split(b"\n")
            for line in whole:
                queue.put(line)
        at_end()
        queue.put(None)

    threading.Thread(target=read, daemon=True).start()
    return queue
