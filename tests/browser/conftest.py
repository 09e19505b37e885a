"""Chromium as a person would use it, against the demo as `bailiwick run` starts it.

The tests skip where Chromium or Playwright is missing, and say so. With BAILIWICK_SCREENSHOTS set to a
folder, each page is photographed on its way (`make screenshots`).
"""

import base64
import hashlib
import http.server
import os
import queue
import re
import secrets
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

CHROMIUM = os.environ.get("BAILIWICK_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
PASSWORD = "correct horse battery staple"
CALLBACK = "/callback"


# Not for the whole session: Playwright keeps an event loop running in this thread as long as it lives,
# and no other test could run one of its own.
@pytest.fixture(scope="module")
def chromium():
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed (Debian: apt-get install chromium)")
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=CHROMIUM,
            args=[
                "--no-sandbox",  # it runs as root in CI
                "--disable-gpu",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--no-first-run",
                "--font-render-hinting=none",
            ],
        )
        yield browser
        browser.close()


class Demo:
    """The running demo."""

    def __init__(self, base):
        self.base, self.issuer = base, base + "/auth"
        self.http = httpx.Client(base_url=base, timeout=30)

    def token(self, **form):
        return self.http.post("/auth/token", data=form)

    def call(self, method, path, token, **more):
        return self.http.request(method, path, headers={"authorization": f"Bearer {token}"}, **more)


@pytest.fixture(scope="session")
def demo(tmp_path_factory):
    data = tmp_path_factory.mktemp("demo") / "data"
    env = {name: value for name, value in os.environ.items() if not name.startswith("BAILIWICK_")}
    port = "8000" if os.environ.get("BAILIWICK_SCREENSHOTS") else "0"  # pictures show where they were taken
    process = subprocess.Popen(
        [sys.executable, "-m", "bailiwick", "run", "--port", port, "--data", str(data)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**env, "COLUMNS": "160", "BAILIWICK_DEMO_PASSWORD": PASSWORD},
    )
    lines = queue.Queue()

    def pump():
        for line in process.stdout:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=pump, daemon=True).start()
    text, end = "", time.monotonic() + 60
    while (found := re.search(r"Issuer: (\S+)/auth", text)) is None:
        line = lines.get(timeout=max(end - time.monotonic(), 0.1))
        assert line is not None, f"the demo ended:\n{text}"
        text += line
    started = Demo(found[1])
    yield started
    started.http.close()
    process.terminate()
    process.wait(30)


class Client(threading.Thread):
    """The demo's web page, played by a listener on a free port: it waits for the browser to come back."""

    def __init__(self, demo, client_id="demo-web"):
        super().__init__(daemon=True)
        arrived = self.arrived = queue.Queue()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                if urlsplit(self.path).path == CALLBACK:
                    arrived.put(dict(parse_qs(urlsplit(self.path).query)))
                self.answer()

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                arrived.put(parse_qs(body))
                self.answer()

            def answer(self):
                body = b"<!doctype html><title>Back</title><p>You are back at the application."
                self.send_response(200)
                self.send_header("content-type", "text/html")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                """Not on the terminal."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.redirect = f"http://127.0.0.1:{self.server.server_port}{CALLBACK}"
        self.demo, self.client_id = demo, client_id
        self.verifier, self.state = secrets.token_urlsafe(48), secrets.token_urlsafe(9)
        self.start()

    def run(self):
        self.server.serve_forever()

    def address(self, **more):
        challenge = base64.urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest()).rstrip(b"=").decode()
        asked = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": self.redirect,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            "state": self.state,
        }
        return str(httpx.URL(f"{self.demo.issuer}/authorize", params={**asked, **more}))

    def answer(self):
        """What the browser brought back, each value once."""
        told = self.arrived.get(timeout=20)
        assert all(len(values) == 1 for values in told.values())
        return {name: values[0] for name, values in told.items()}

    def redeem(self, code):
        return self.demo.token(
            grant_type="authorization_code",
            client_id=self.client_id,
            code=code,
            code_verifier=self.verifier,
            redirect_uri=self.redirect,
        )


@pytest.fixture
def client(demo):
    client = Client(demo)
    yield client
    client.server.shutdown()
    client.server.server_close()


class Person:
    """Somebody at a browser of their own. What the browser complains about fails the test."""

    def __init__(self, page, demo, complaints):
        self.page, self.demo, self.complaints = page, demo, complaints

    def log_in(self, name="erin", password=PASSWORD):
        self.page.get_by_label("Name").fill(name)
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_role("button", name="Log in").click()

    def finds_the_cursor_in(self, label):
        """Waits, as a person does: a browser moves the focus to an autofocus field after the page has loaded."""
        self.page.wait_for_function(
            "field => field === document.activeElement", arg=self.page.get_by_label(label).element_handle()
        )

    def photograph(self, name):
        """The page in light and in dark, where pictures are wanted."""
        folder = os.environ.get("BAILIWICK_SCREENSHOTS")
        if folder:
            for scheme in ("light", "dark"):
                self.page.emulate_media(color_scheme=scheme)
                Path(folder).mkdir(parents=True, exist_ok=True)
                self.page.screenshot(path=Path(folder) / f"{name}-{scheme}.png", full_page=True)
            self.page.emulate_media(color_scheme="light")


@pytest.fixture
def person(chromium, demo):
    context = chromium.new_context(viewport={"width": 760, "height": 720})
    context.set_default_timeout(15_000)
    page = context.new_page()
    complaints = []

    def hear(message):
        # What the client's own listener does when a test ends is not the pages' fault.
        if message.type == "error" and message.location["url"].startswith(demo.base):
            complaints.append(message.text)

    page.on("console", hear)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    foreign = []
    page.on("request", lambda request: foreign.append(request.url) if "//127.0.0.1" not in request.url else None)
    yield Person(page, demo, complaints)
    context.close()
    # A refused password is a 400, which Chromium notes as an error; nothing else may be there.
    assert not [text for text in complaints if "the server responded with a status of 4" not in text]
    assert not foreign
