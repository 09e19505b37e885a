"""The instructions that a server executes for a request: the same on a busy machine as on an idle one."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable

COUNTER = "instructions"
SETTLING = 0.3  # seconds until `perf` is attached


def counted(pid: int, work: Callable[[], float]) -> float | None:
    """Instructions of one process per request, in user mode and in the kernel.

    Args:
        pid: the process.
        work: has requests answered by it, and returns how many they were.

    Returns:
        None where `perf` is not installed, or may not count (kernel.perf_event_paranoid).
    """
    if shutil.which("perf") is None:
        return None
    command = ["perf", "stat", "-x,", "-e", COUNTER, "-p", str(pid)]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env={**os.environ, "LC_ALL": "C"}
    ) as counter:
        time.sleep(SETTLING)
        requests = work()
        counter.send_signal(signal.SIGINT)
        said = counter.communicate()[1]
    for line in said.splitlines():
        number, _, event = line.split(",")[:3] if line.count(",") > 2 else ("", "", "")
        if event.startswith(COUNTER) and number.isdigit():
            return int(number) / requests
    return None
