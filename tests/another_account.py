"""What another account of the machine can do to a running ``hrsync up``: each attack is tried as
that account, and must fail.

    python -m tests.another_account HOME PREFECT_PORT RECEIVER_PORT SANDBOX_PORT     (as root; it
    becomes the account "nobody")

Prints a line for each attack; exit code 1 if one has succeeded.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import websockets

NOBODY = 65534
KEY = {"Authorization": "Bearer sandbox-key"}


def become_nobody() -> None:
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)


def readable(path: Path) -> bool:
    """Whether this account can read a file, or what is in a folder."""
    try:
        if path.is_dir():
            os.listdir(path)
        else:
            path.read_bytes()
    except OSError:
        return False
    return True


def answers(method: str, url: str, **more: object) -> int:
    return httpx.request(method, url, timeout=30, **more).status_code  # type: ignore[arg-type]


def hears_events(port: int, *tokens: str) -> bool:
    """Whether Prefect's events come over a websocket to whoever says one of these, or nothing."""

    async def ask(message: dict[str, object]) -> bool:
        try:
            async with websockets.connect(
                f"ws://127.0.0.1:{port}/api/events/out",
                subprotocols=[websockets.Subprotocol("prefect")],
            ) as socket:
                await socket.send(json.dumps(message))
                return "auth_success" in str(await asyncio.wait_for(socket.recv(), 10))
        except (OSError, websockets.WebSocketException):
            return False

    said: list[dict[str, object]] = [
        {"type": "filter", "filter": {}},
        *({"type": "auth", "token": token} for token in tokens),
    ]
    return any(asyncio.run(ask(message)) for message in said)


def at_work_in(home: Path) -> list[int]:
    """The processes of a running ``hrsync up``."""
    found = []
    for entry in os.listdir("/proc"):
        try:
            if (
                entry.isdigit()
                and str(home).encode() in Path(f"/proc/{entry}/environ").read_bytes()
            ):
                found.append(int(entry))
        except OSError:
            continue
    return [number for number in found if number != os.getpid()]


def reads_memory_or_environment(numbers: list[int]) -> bool:
    return any(
        readable(Path(f"/proc/{number}/{name}"))
        for number in numbers
        for name in ("environ", "mem", "maps")
    )


def told_in_command_lines(numbers: list[int], secret: str) -> bool:
    """A command line can be read by everybody."""
    files = [Path(f"/proc/{number}/cmdline") for number in numbers]
    return any(
        secret.partition(":")[2].encode() in file.read_bytes() for file in files if readable(file)
    )


def temporary_files_of(owner: int) -> list[Path]:
    """What runs and workers put into the folder of temporary files."""
    found = []
    for path in Path("/tmp").iterdir():
        if path.name.startswith(("hrsync-", "pymp-")):
            try:
                found += [path] if path.stat().st_uid == owner else []
            except OSError:
                continue
    return found


def main(home: Path, prefect: int, receiver: int, sandbox: int) -> int:
    """As root; then as nobody."""
    owner = home.stat().st_uid
    below = sorted(home.rglob("*"))
    login = (home / "prefect-login").read_text().strip()
    api, hooks, numbers = (
        f"http://127.0.0.1:{prefect}/api",
        f"http://127.0.0.1:{receiver}",
        at_work_in(home),
    )
    # The owner can do it: the attacks are the right ones. It also imports what "nobody" could not
    # read.
    owners_can = answers(
        "GET", f"{api}/admin/settings", auth=tuple(login.split(":"))
    ) == 200 and hears_events(prefect, login)
    become_nobody()
    rows = f"http://127.0.0.1:{sandbox}/accessplansandbox/api/v2/Webhook"
    run_anything = {
        "name": "mine",
        "flow_id": "00000000-0000-0000-0000-000000000000",
        "entrypoint": "os.system",
    }
    attacks: dict[str, Callable[[], bool]] = {
        "read what is in the home folder": lambda: readable(home),
        "read a file below it": lambda: any(readable(path) for path in below),
        "read the environment or memory of a process": lambda: reads_memory_or_environment(numbers),
        "find the login in a command line": lambda: told_in_command_lines(numbers, login),
        "read temporary files of a run": lambda: any(
            readable(path) for path in temporary_files_of(owner)
        ),
        "list the flows in Prefect": lambda: answers("POST", f"{api}/flows/filter", json={}) != 401,
        "read Prefect's settings": lambda: answers("GET", f"{api}/admin/settings") != 401,
        "read Prefect's blocks": lambda: (
            answers("POST", f"{api}/block_documents/filter", json={}) != 401
        ),
        "make a deployment that runs a command": lambda: (
            answers("POST", f"{api}/deployments/", json=run_anything) != 401
        ),
        "log in with no password": lambda: (
            answers("GET", f"{api}/admin/settings", auth=("hrsync", "")) != 401
        ),
        "hear Prefect's events": lambda: hears_events(prefect, "", "hrsync:"),
        "read the sandbox's webhooks by its well-known key": lambda: (
            answers("GET", rows, headers={"Authorization": "Bearer sandbox-key"}) != 401
        ),
        "send a webhook": lambda: (
            answers("POST", f"{hooks}/webhooks/user", json={"ID": "somebody"}) != 401
        ),
        "read the receiver's counts": lambda: answers("GET", f"{hooks}/metrics") != 401,
        "read what the receiver takes": lambda: answers("GET", f"{hooks}/openapi.json") != 401,
    }
    succeeded = 0
    for name, attack in attacks.items():
        done = attack()
        succeeded += done
        print(f"{'SUCCEEDED' if done else 'failed'}: {name}", flush=True)
    proves_something = owners_can and len(below) > 5 and len(numbers) > 3
    return 0 if proves_something and not succeeded else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
