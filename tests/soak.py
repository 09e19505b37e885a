"""An authority and an API beside it under attack for ten minutes, while twenty honest clients work; `make soak` runs it.

Honest clients first work alone for a minute, then beside all attackers at once. It fails if one honest request fails, if the
95th percentile of one kind of honest request is five times what it was alone, or if memory or disk grow beyond their bounds.
Everything runs on loopback addresses of this machine, and each attacker is bounded in connections and in requests a second.
"""

import argparse
import asyncio
import base64
import html
import json
import os
import random
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

PASSWORD: Final = "correct horse battery staple"
AUDIENCE: Final = "https://api.example.com"
FORM: Final = ("content-type", "application/x-www-form-urlencoded")
CATALOG: Final = """
superuser = "admin:*"
[scopes]
"items:read" = "Read items"
"items:write" = { description = "Write items", implies = ["items:read"] }
"admin:*" = "Everything"
[roles]
reader = ["items:read"]
"""
# What bounds the growth: a queue of logins, followers and silent connections cost memory once, and no more with time.
MAX_MEMORY_GROWTH: Final = 150  # MB over the whole attack, of the authority
MAX_DISK_GROWTH: Final = 120  # MB over the whole attack: tokens that were asked for with a right to them are kept
MAX_RATIO: Final = 5.0
PEOPLE: Final = 12


class Connection:
    """One HTTP/1.1 connection from one loopback address, kept open between requests."""

    def __init__(self, port: int, source: str = "127.0.0.1") -> None:
        self.port, self.source = port, source
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(
        self,
        method: str,
        path: str,
        form: Any = None,
        *,
        headers: tuple[tuple[str, str], ...] = (),
        body: bytes = b"",
        patience: float = 40.0,
    ) -> tuple[int, dict[str, str], bytes]:
        """Send one request and read its answer: status, headers and body."""
        if form is not None:
            body, headers = urlencode(form).encode(), (*headers, FORM)
        head = f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{self.port}\r\ncontent-length: {len(body)}\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in headers)
        for attempt in (1, 2):
            fresh = self._streams is None
            if self._streams is None:
                self._streams = await asyncio.open_connection(
                    "127.0.0.1", self.port, local_addr=(self.source, 0), limit=2**24
                )
            reader, writer = self._streams
            try:
                async with asyncio.timeout(patience):
                    writer.write(head.encode("latin-1") + b"\r\n" + body)
                    return await self._answer(reader)
            except (asyncio.IncompleteReadError, ConnectionError):
                # A server may close a connection that was idle in the very moment in which it is used again.
                self.close()
                if fresh or attempt == 2:
                    raise
        raise AssertionError

    async def _answer(self, reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        content = b""
        if "content-length" in headers:
            content = await reader.readexactly(int(headers["content-length"]))
        elif headers.get("transfer-encoding") == "chunked":
            while size := int(await reader.readline(), 16):
                content += (await reader.readexactly(size + 2))[:-2]
            await reader.readline()
        if headers.get("connection") == "close":
            self.close()
        return int(head[0].split(" ")[1]), headers, content

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


# -- what honest clients do ---------------------------------------------------------------------


class Honest:
    """Twenty clients with a right to what they ask for, and how long each kind of request took them."""

    def __init__(self, port: int, api: int, made: dict[str, str]) -> None:
        self.port, self.api, self.made = port, api, made
        self.took: dict[str, list[float]] = defaultdict(list)
        self.failed: Counter[str] = Counter()
        self.stop = asyncio.Event()

    async def run(self, seconds: float) -> None:
        """Let all of them work for some seconds."""
        workers = [self._machine(n) for n in range(6)] + [self._refreshing(n) for n in range(6)]
        workers += [self._person(n) for n in range(4)] + [self._resource_server(n) for n in range(2)]
        workers += [self._caller(n) for n in range(2)]
        tasks = [asyncio.create_task(one) for one in workers]
        await asyncio.sleep(seconds)
        self.stop.set()
        await asyncio.gather(*tasks)

    async def _timed(self, kind: str, asking: Awaitable[tuple[int, dict[str, str], bytes]], right: int = 200) -> Any:
        began = time.perf_counter()
        try:
            status, headers, body = await asking
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as bad:
            self.failed[f"{kind}: {type(bad).__name__}"] += 1
            return {}, b"{}"
        self.took[kind].append(time.perf_counter() - began)
        if status != right:
            self.failed[f"{kind}: {status} {body[:120]!r}"] += 1
            return {}, b"{}"
        return headers, body

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self.stop.wait(), seconds * random.uniform(0.8, 1.2))

    async def _api(self, api: Connection, token: str) -> None:
        await self._timed("guarded API", api.ask("GET", "/items", headers=(("authorization", f"Bearer {token}"),)))

    async def _machine(self, number: int) -> None:
        authority, api = (Connection(port, f"127.0.3.{number + 1}") for port in (self.port, self.api))
        form = {"grant_type": "client_credentials", "client_id": "svc", "client_secret": self.made["svc"]}
        while not self.stop.is_set():
            _, body = await self._timed("client credentials", authority.ask("POST", "/token", form))
            await self._api(api, json.loads(body).get("access_token", ""))
            await self._pause(1)

    async def _refreshing(self, number: int) -> None:
        source = f"127.0.4.{number + 1}"
        authority, api = Connection(self.port, source), Connection(self.api, source)
        form = {"grant_type": "password", "client_id": "cli", "username": f"p{number}", "password": PASSWORD}
        _, body = await self._timed("password", authority.ask("POST", "/token", form))
        while not self.stop.is_set():
            refresh = json.loads(body).get("refresh_token", "")
            form = {"grant_type": "refresh_token", "client_id": "cli", "refresh_token": refresh}
            _, body = await self._timed("refresh", authority.ask("POST", "/token", form))
            await self._api(api, json.loads(body).get("access_token", ""))
            await self._pause(1)

    async def _person(self, number: int) -> None:
        while not self.stop.is_set():
            browser = Connection(self.port, f"127.0.5.{number + 1}")
            headers, _ = await self._timed("login page", browser.ask("GET", "/login"), right=303)
            cookies, where = headers.get("set-cookie", "").partition(";")[0], headers.get("location", "/login")
            asked = browser.ask("GET", where, headers=(("cookie", cookies),))
            _, body = await self._timed("login page", asked)
            fields = [(html.unescape(a), html.unescape(b)) for a, b in HIDDEN.findall(body.decode())]
            form = [*fields, ("name", f"p{PEOPLE - 1 - number}"), ("password", PASSWORD)]
            await self._timed("login", browser.ask("POST", "/login", form, headers=(("cookie", cookies),)), right=303)
            browser.close()
            await self._pause(3)

    async def _resource_server(self, number: int) -> None:
        authority = Connection(self.port, f"127.0.6.{number + 1}")
        grant = {"grant_type": "client_credentials", "client_id": "svc", "client_secret": self.made["svc"]}
        _, body = await self._timed("client credentials", authority.ask("POST", "/token", grant))
        token = json.loads(body).get("access_token", "")
        form = {"client_id": "rs", "client_secret": self.made["rs"], "token": token}
        while not self.stop.is_set():
            await self._timed("introspection", authority.ask("POST", "/introspect", form))
            await self._pause(0.5)

    async def _caller(self, number: int) -> None:
        authority, api = Connection(self.port, f"127.0.7.{number + 1}"), Connection(self.api, f"127.0.7.{number + 1}")
        grant = {"grant_type": "client_credentials", "client_id": "svc", "client_secret": self.made["svc"]}
        asked_at, token = 0.0, ""
        while not self.stop.is_set():
            if time.monotonic() - asked_at > 300:
                _, body = await self._timed("client credentials", authority.ask("POST", "/token", grant))
                asked_at, token = time.monotonic(), json.loads(body).get("access_token", "")
            await self._api(api, token)
            await self._pause(0.2)


HIDDEN: Final = re.compile(r'<input type="hidden" name="([^"]*)" value="([^"]*)"')


# -- what attackers do --------------------------------------------------------------------------


class Attack:
    """Everything at once: each attacker is a number of connections with a pause between two requests of one.

    Args:
        port: the authority's.
        api: the guarded API's.
        until: when it ends, by the monotonic clock.
    """

    def __init__(self, port: int, api: int, until: float) -> None:
        self.port, self.api, self.until = port, api, until
        self.counts: dict[str, Counter[Any]] = defaultdict(Counter)

    async def run(self) -> None:
        """Attack until the end."""
        spent = await self._spent()
        attackers: list[tuple[str, int, Callable[[int], Awaitable[None]]]] = [
            ("feed by one person", 16, self._refresh_and_revoke),
            ("feed by strangers", 200, self._poll_feed),
            ("passwords of one name", 300, self._one_name),
            ("silent connections", 200, self._silent),
            ("dead credentials", 16, lambda number: self._dead(number, spent)),
            ("64 KB bodies", 8, self._bodies),
            ("forged tokens at the API", 4, self._forged),
        ]
        tasks = [asyncio.create_task(attack(number)) for _, many, attack in attackers for number in range(many)]
        await asyncio.gather(*tasks)
        print(json.dumps({name: {str(k): n for k, n in counts.items()} for name, counts in self.counts.items()}))

    async def _ask(self, name: str, connection: Connection, *args: Any, **more: Any) -> tuple[int, bytes]:
        try:
            status, _, body = await connection.ask(*args, **more)
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as bad:
            connection.close()
            self.counts[name][type(bad).__name__] += 1
            return 0, b"{}"
        self.counts[name][status] += 1
        return status, body

    def _goes_on(self) -> bool:
        return time.monotonic() < self.until

    async def _spent(self) -> str:
        authority = Connection(self.port, "127.0.9.1")
        form = {"grant_type": "password", "client_id": "cli", "username": "mallory", "password": PASSWORD}
        _, _, body = await authority.ask("POST", "/token", form)
        first: str = json.loads(body)["refresh_token"]
        token = first
        for _ in range(2):
            form = {"grant_type": "refresh_token", "client_id": "cli", "refresh_token": token}
            _, _, body = await authority.ask("POST", "/token", form)
            token = json.loads(body)["refresh_token"]
        return first

    async def _refresh_and_revoke(self, number: int) -> None:
        name, connection, tokens = "feed by one person", Connection(self.port, "127.0.9.2"), {}
        await asyncio.sleep(number * 0.1)
        while self._goes_on():
            if "refresh_token" in tokens:
                form = {"grant_type": "refresh_token", "client_id": "cli", "refresh_token": tokens["refresh_token"]}
            else:
                form = {"grant_type": "password", "client_id": "cli", "username": "trudy", "password": PASSWORD}
            status, body = await self._ask(name, connection, "POST", "/token", form)
            tokens = json.loads(body) if status == 200 else {}
            if tokens:
                gone = {"client_id": "cli", "token": tokens["access_token"]}
                await self._ask(name, connection, "POST", "/revoke", gone)
            await asyncio.sleep(0.5)

    async def _poll_feed(self, number: int) -> None:
        connection = Connection(self.port, f"127.0.10.{number % 250 + 1}")
        while self._goes_on():
            await self._ask("feed by strangers", connection, "GET", "/revocations?after=0&wait=30", patience=60)
            await asyncio.sleep(2)

    async def _one_name(self, number: int) -> None:
        connection = Connection(self.port, f"127.0.11.{number % 250 + 1}")
        form = {"grant_type": "password", "client_id": "cli", "username": "mallory", "password": PASSWORD}
        while self._goes_on():
            await self._ask("passwords of one name", connection, "POST", "/token", form, patience=60)
            await asyncio.sleep(2)

    async def _silent(self, number: int) -> None:
        said = (b"", b"POST /token HTTP/1.1\r\nHost: x\r\nX: ", SLOW_BODY)[number % 3]
        port = self.port if number % 2 else self.api
        while self._goes_on():
            try:
                reader, writer = await asyncio.open_connection(
                    "127.0.0.1", port, local_addr=(f"127.0.12.{number % 250 + 1}", 0)
                )
                writer.write(said)
                self.counts["silent connections"]["opened"] += 1
                with suppress(TimeoutError):
                    async with asyncio.timeout(max(0.0, self.until - time.monotonic())):
                        while await reader.read(1000):
                            pass
                    self.counts["silent connections"]["closed by the server"] += 1
                writer.close()
            except OSError as bad:
                self.counts["silent connections"][type(bad).__name__] += 1
            await asyncio.sleep(1)

    async def _dead(self, number: int, spent: str) -> None:
        connection = Connection(self.port, f"127.0.13.{number + 1}")
        form = {"grant_type": "refresh_token", "client_id": "cli", "refresh_token": spent}
        more = (("user-agent", "x" * 250),)
        while self._goes_on():
            await self._ask("dead credentials", connection, "POST", "/token", form, headers=more)
            await asyncio.sleep(0.25)

    async def _bodies(self, number: int) -> None:
        connection = Connection(self.port, f"127.0.14.{number + 1}")
        deep = b"[" * 33 + b'"' + b'\\"' * 32_700
        marks = "a" + "\u0344" * 8_000 + "\u0334" * 8_000
        asked = (
            ("/register", {"body": deep, "headers": (("content-type", "application/json"),)}),
            ("/token", {"form": {"grant_type": "password", "client_id": "cli", "username": marks, "password": "x"}}),
            ("/token", {"form": {"grant_type": "password", "client_id": "cli", "scope": "a " * 32_000}}),
            ("/par", {"form": {"client_id": "web", "login_hint": "h" * 64_000}}),
        )
        while self._goes_on():
            path, more = asked[random.randrange(len(asked))]
            await self._ask("64 KB bodies", connection, "POST", path, **more)
            await asyncio.sleep(0.5)

    async def _forged(self, number: int) -> None:
        connection = Connection(self.api, f"127.0.15.{number + 1}")
        header = base64.urlsafe_b64encode(b"[" * 33 + b'"' + b'\\"' * 6_090).rstrip(b"=").decode()
        while self._goes_on():
            await self._ask(
                "forged tokens at the API",
                connection,
                "GET",
                "/items",
                headers=(("authorization", f"Bearer {header}.e30.AAAA"),),
            )
            await asyncio.sleep(0.25)


SLOW_BODY: Final = b"POST /token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\na="


# -- the two programs under attack ---------------------------------------------------------------


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


async def provision(folder: Path, issuer: str) -> dict[str, str]:
    """Make the people and clients of the soak, before the authority is served."""
    from bailiwick import Catalog
    from bailiwick.server import AuthorizationServer, Settings

    settings = Settings(issuer, AUDIENCE)
    server = AuthorizationServer(
        Catalog.from_toml(CATALOG), issuer=issuer, store=str(folder / "authority.db"), settings=settings
    )
    made: dict[str, str] = {}
    async with server:
        admin = await server.admin()
        for name in [*(f"p{number}" for number in range(PEOPLE)), "mallory", "trudy"]:
            await admin.create_account(name, PASSWORD, roles=["reader"])
        scopes = ["items:read"]
        await admin.create_client(
            "cli", public=True, first_party=True, grants=["password", "refresh_token"], scopes=scopes
        )
        await admin.create_client(
            "web", public=True, grants=["authorization_code"], scopes=scopes, redirects=["https://app.example.com/cb"]
        )
        for name, more in (("svc", {}), ("rs", {"introspects": [AUDIENCE]}), ("api", {"follows_revocations": True})):
            client = await admin.create_client(name, grants=["client_credentials"], scopes=scopes, **more)
            made[name] = client.secret or ""
    return made


def serve_api(issuer: str, port: int) -> None:
    """The guarded API: it knows the authority by its keys and its feed only."""
    from contextlib import asynccontextmanager

    import httpx
    import uvicorn
    from fastapi import FastAPI

    from bailiwick import Catalog
    from bailiwick.fastapi import Guard
    from bailiwick.remote import RevocationFeed
    from bailiwick.tokens import JWTVerifier, Keyring

    keys = Keyring.from_jwks(httpx.get(f"{issuer}/jwks.json").content, published=True)
    feed = RevocationFeed(issuer, keys=keys, client_id="api", client_secret=os.environ["SOAK_FOLLOWER"])
    verifier = JWTVerifier(keys, issuer=issuer, audience=AUDIENCE, checks=(feed.check,))
    guard = Guard(Catalog.from_toml(CATALOG), verifier)

    @asynccontextmanager
    async def followed(_app: FastAPI) -> Any:
        async with feed:
            yield

    app = FastAPI(lifespan=followed)
    guard.protect(app)

    @app.get("/items", dependencies=[guard.requires("items:read")])
    async def items() -> list[str]:
        return ["one"]

    uvicorn.run(app, port=port, log_level="error", lifespan="on")


def memory_of(process: int) -> float:
    """The resident memory of a process in MB."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]


def disk_of(folder: Path) -> float:
    """What an authority keeps on the disk, its log included, in MB."""
    return sum(path.stat().st_size for path in folder.iterdir()) / 1e6


def p95(took: list[float]) -> float:
    return sorted(took)[int(len(took) * 0.95)] * 1000 if took else 0.0


# -- the soak -----------------------------------------------------------------------------------


async def wait_for(port: int, path: str) -> None:
    for _ in range(200):
        with suppress(OSError, asyncio.IncompleteReadError):
            await Connection(port).ask("GET", path, patience=2)
            return
        await asyncio.sleep(0.1)
    raise SystemExit(f"Nothing answers on port {port}.")


async def soak(folder: Path, quiet: float, minutes: float) -> int:
    """Serve, measure the honest clients alone and under attack, and compare."""
    port, api_port = free_port(), free_port()
    issuer = f"http://127.0.0.1:{port}"
    (folder / "catalog.toml").write_text(CATALOG)
    (folder / "bailiwick.toml").write_text(
        f'issuer = "{issuer}"\naudience = "{AUDIENCE}"\ncatalog = "catalog.toml"\nstore = "authority.db"\nport = {port}\n'
    )
    made = await provision(folder, issuer)
    log = (folder / "serve.log").open("ab")
    command = str(Path(sys.executable).parent / "bailiwick")
    start = asyncio.create_subprocess_exec
    authority = await start(command, "serve", cwd=folder, stdout=log, stderr=log)
    running = [authority]
    try:
        await wait_for(port, "/health")
        me = [sys.executable, __file__]
        api = await start(*me, "--serve-api", issuer, str(api_port), env=os.environ | {"SOAK_FOLLOWER": made["api"]})
        running.append(api)
        await wait_for(api_port, "/items")
        alone = Honest(port, api_port, made)
        await alone.run(quiet)
        memory, disk = memory_of(authority.pid), disk_of(folder)
        seconds = minutes * 60
        attack = await start("nice", *me, "--attack", str(port), str(api_port), str(seconds), stdout=subprocess.PIPE)
        running.append(attack)
        await asyncio.sleep(5)
        beside = Honest(port, api_port, made)
        peak = memory
        task = asyncio.create_task(beside.run(max(10.0, seconds - 10)))
        while not task.done():
            await asyncio.wait([task], timeout=1)
            peak = max(peak, memory_of(authority.pid))
        await task
        said, _ = await asyncio.wait_for(attack.communicate(), 120)
        return report(alone, beside, json.loads(said), (memory, peak), (disk, disk_of(folder)))
    finally:
        for process in running:
            with suppress(ProcessLookupError):
                process.terminate()
        for process in running:
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), 10)
        log.close()


def report(
    alone: Honest, beside: Honest, attacks: dict[str, Any], memory: tuple[float, float], disk: tuple[float, float]
) -> int:
    """Print what happened; 1 if a bound was broken."""
    broken: list[str] = []
    print(f"{'honest requests':22} {'alone':>7} {'p95 ms':>8} {'attack':>7} {'p95 ms':>8} {'ratio':>6}")
    for kind in sorted(beside.took):
        ratio = p95(beside.took[kind]) / max(p95(alone.took[kind]), 0.1)
        print(
            f"{kind:22} {len(alone.took[kind]):7} {p95(alone.took[kind]):8.1f} {len(beside.took[kind]):7}"
            f" {p95(beside.took[kind]):8.1f} {ratio:6.2f}"
        )
        if ratio >= MAX_RATIO:
            broken.append(f"{kind} takes {ratio:.1f} times as long")
    print("attacks:")
    for name, counts in attacks.items():
        print(f"  {name}: {', '.join(f'{what} x{many}' for what, many in counts.items())}")
    print(f"memory of the authority: {memory[0]:.0f} MB alone, at most {memory[1]:.0f} MB under attack")
    print(f"disk of the authority: {disk[0]:.1f} MB alone, {disk[1]:.1f} MB at the end")
    broken += [f"{many} times {what}" for one in (alone, beside) for what, many in one.failed.items()]
    if memory[1] - memory[0] > MAX_MEMORY_GROWTH:
        broken.append(f"memory grew by {memory[1] - memory[0]:.0f} MB")
    if disk[1] - disk[0] > MAX_DISK_GROWTH:
        broken.append(f"the disk grew by {disk[1] - disk[0]:.0f} MB")
    print("\n".join(f"BROKEN: {one}" for one in broken) or "all bounds hold")
    return 1 if broken else 0


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--minutes", type=float, default=10, help="how long the attack takes")
    asked.add_argument("--quiet", type=float, default=60, help="seconds that honest clients work alone before")
    asked.add_argument("--attack", nargs=3, metavar=("PORT", "API", "SECONDS"), help=argparse.SUPPRESS)
    asked.add_argument("--serve-api", nargs=2, metavar=("ISSUER", "PORT"), help=argparse.SUPPRESS)
    given = asked.parse_args()
    if given.serve_api:
        serve_api(given.serve_api[0], int(given.serve_api[1]))
        return 0
    if given.attack:
        port, api, seconds = given.attack
        asyncio.run(Attack(int(port), int(api), time.monotonic() + float(seconds)).run())
        return 0
    with tempfile.TemporaryDirectory(prefix="bailiwick-soak-") as folder:
        return asyncio.run(soak(Path(folder), given.quiet, given.minutes))


if __name__ == "__main__":
    sys.exit(main())
