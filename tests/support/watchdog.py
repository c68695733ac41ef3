"""Ends test servers when the test session ends in any way, killed included.

Reads folders from standard input, one a line; at the end of input (the session is gone, or done) every server
whose ``data/postmaster.pid`` lies in one of them is stopped at once, and the folder removed.
"""

import os
import shutil
import signal
import sys
import time
from pathlib import Path


def stop_server(folder: Path, how: signal.Signals) -> bool:
    """Signal the server of a folder; return whether there was one."""
    try:
        os.kill(int(pid_file(folder).read_text().split()[0]), how)
    except (OSError, IndexError, ValueError):
        return False
    return True


def pid_file(folder: Path) -> Path:
    """Return the file a server removes when it has ended in order."""
    return folder / "data" / "postmaster.pid"


def end_servers(folders: list[Path]) -> None:
    """Stop all servers, at once those that take more than a moment, and remove the folders."""
    running = [folder for folder in folders if stop_server(folder, signal.SIGINT)]
    for _ in range(250):
        running = [folder for folder in running if pid_file(folder).exists()]
        if not running:
            break
        time.sleep(0.02)
    for folder in running:
        stop_server(folder, signal.SIGKILL)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    end_servers([Path(line.strip()) for line in sys.stdin if line.strip()])
