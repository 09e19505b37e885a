"""A served authority is told to stop while a follower waits for news: it ends soon, and the follower hears nothing bad."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
import time

import httpx

from bailiwick.demo.domain import CATALOG
from bailiwick.server import AuthorizationServer


def test_a_follower_that_waits_does_not_keep_the_server_from_ending(tmp_path):
    env = {name: value for name, value in os.environ.items() if not name.startswith("BAILIWICK_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "bailiwick", "run", "--port", "0", "--data", str(tmp_path / "data")],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**env, "COLUMNS": "160"},
    )
    try:
        said = ""
        while (found := re.search(r"Issuer: (http://\S+/auth)", said)) is None:
            line = process.stdout.readline()
            assert line, said
            said += line
        feed, answers = f"{found[1]}/revocations", []
        first(feed)
        who = ("follower", asyncio.run(may_follow(found[1], tmp_path / "data")))
        known = httpx.get(feed, auth=who).headers["etag"]

        def follow():
            asked = {"params": {"wait": 30}, "headers": {"if-none-match": known}, "auth": who}
            answers.append(httpx.get(feed, timeout=60, **asked))

        follower = threading.Thread(target=follow, daemon=True)
        follower.start()
        time.sleep(1)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read()
        assert process.wait(30) == 0
        assert time.monotonic() - began < 15  # and not the half minute that the follower would have waited
        follower.join(5)
        assert [answer.status_code for answer in answers] == [304]
        assert "Traceback" not in rest
    finally:
        process.kill()
        process.wait(10)
        process.stdout.close()


async def may_follow(issuer, data):
    """The secret of a new client of the demo that may follow its feed."""
    async with AuthorizationServer(CATALOG, issuer=issuer, store=data / "authority.db") as server:
        return (await (await server.admin()).create_client("follower", follows_revocations=True)).secret


def first(feed):
    end = time.monotonic() + 20
    while True:
        try:
            return httpx.get(feed)
        except httpx.HTTPError:
            assert time.monotonic() < end
            time.sleep(0.05)
