"""What a process hears from the one that started it: lines on standard input, until that ends.

The parent keeps its end of the pipe open as long as it wants the work done. The system closes it when the
parent ends, however that ends, so that no process is left behind.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from queue import SimpleQueue


def lines(at_end: Callable[[], None]) -> SimpleQueue[bytes | None]:
    """Read standard input in a thread of its own.

    Args:
        at_end: called in that thread when standard input ends.

    Returns:
        A queue of its lines, without their ends; then, once `at_end` has returned, `None`.
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
