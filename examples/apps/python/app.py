#!/usr/bin/env python3
"""An application beside the agent: it reads its secrets from files, and reads
them again on SIGHUP.

    app.py DIR PIDFILE

It prints one line for each reading: how many secrets there are, and which
changed, by a fingerprint. It never prints a value.
"""

import asyncio
import hashlib
import os
import signal
import sys
from pathlib import Path


async def main(directory, pid_file):
    # First the handlers, then the pid file: a SIGHUP that finds no handler
    # ends a process. The loop calls its handlers between two steps, never in
    # the middle of one, and the queue keeps what comes during a reading.
    wishes = asyncio.Queue()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, wishes.put_nowait, "reload")
    loop.add_signal_handler(signal.SIGTERM, wishes.put_nowait, "stop")
    loop.add_signal_handler(signal.SIGINT, wishes.put_nowait, "stop")
    pid_file.write_text(str(os.getpid()))
    try:
        await follow(directory, wishes)
    finally:
        pid_file.unlink()


async def follow(directory, wishes):
    secrets = None
    wish = "reload"
    while wish == "reload":
        try:
            fresh = read(directory)
        except OSError as error:
            print("keeping what I have:", error, file=sys.stderr, flush=True)
        else:
            report(secrets, fresh)
            secrets = fresh
        wish = await wishes.get()


def read(directory):
    """All secrets of one generation. Resolving ..data once is what keeps two
    generations from being mixed."""
    generation = (directory / "..data").resolve(strict=True)
    return {file.name: file.read_bytes() for file in sorted(generation.iterdir())}


def report(old, fresh):
    changed = [
        f"{key}={fingerprint(value)}"
        for key, value in fresh.items()
        if old is not None and old.get(key) != value
    ]
    print(f"read {len(fresh)} secrets; changed:", " ".join(changed), flush=True)


def fingerprint(value):
    return hashlib.sha256(value).hexdigest()[:8]


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: app.py DIR PIDFILE")
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
