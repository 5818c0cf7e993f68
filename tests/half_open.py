"""Holds connections half open: each sends a part of its headers and stalls, and comes again when it
was closed.

``python -m tests.half_open <port> <connections> <pause>``: those that were closed come again after
a pause in seconds. It says ``there`` when all have been made, and at its end, for which it waits on
its standard input, how many were closed.
"""

from __future__ import annotations

import asyncio
import sys

PART = b"POST /webhooks/user HTTP/1.1\r\nHost: localhost\r\nX-Webhook-Sec"
closed = 0


async def stall(port: int, pause: float, made: asyncio.Event) -> None:
    """One connection after the other, for ever."""
    global closed
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(PART)
            made.set()
            await reader.read()
            writer.close()
        except OSError:
            pass
        closed += 1
        await asyncio.sleep(pause)


async def main(port: int, connections: int, pause: float) -> None:
    events = [asyncio.Event() for _ in range(connections)]
    tasks = [asyncio.create_task(stall(port, pause, event)) for event in events]
    for event in events:
        await event.wait()
    print("there", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    for task in tasks:
        task.cancel()
    print(closed, flush=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
