"""The socket of a served command, and how it says that it cannot have it."""

import asyncio
import logging
import signal
import socket
import threading

import httpx
import pytest
import typer

from bailiwick.cli.ending import refusals
from bailiwick.cli.logs import Logging, logged
from bailiwick.cli.serving import address_of, listen, serve_on
from bailiwick.errors import ConfigurationError, StoreError


def test_port_0_takes_a_free_one_and_the_address_names_it():
    with listen("127.0.0.1", 0) as sock:
        port = sock.getsockname()[1]
        assert port
        assert address_of(sock, "127.0.0.1") == f"http://127.0.0.1:{port}"


def test_a_socket_on_every_interface_is_reached_as_loopback():
    with listen("0.0.0.0", 0) as sock:
        assert address_of(sock, "0.0.0.0").startswith("http://127.0.0.1:")


def test_an_ipv6_address_stands_in_brackets():
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    try:
        sock = listen("::1", 0)
    except ConfigurationError:
        pytest.skip("this machine has no IPv6 loopback")
    with sock:
        assert address_of(sock, "::1") == f"http://[::1]:{sock.getsockname()[1]}"


def test_a_busy_port_is_refused_with_what_to_do():
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"port {port}.*--port"):
            listen("127.0.0.1", port)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "not a host", "x" * 300])
def test_a_host_that_is_not_ours_is_refused(host):
    with pytest.raises(ConfigurationError, match="not an address"):
        listen(host, 0)


def test_an_address_of_another_machine_is_refused():
    with pytest.raises(ConfigurationError, match="Cannot listen"):
        listen("192.0.2.1", 0)  # TEST-NET-1: no machine has it (RFC 5737)


def test_our_own_errors_become_a_message_and_exit_code_2(capsys):
    with pytest.raises(typer.Exit) as ended, refusals():
        raise StoreError("The file is read-only.", detail="chmod it", id="BW502")
    assert ended.value.exit_code == 2
    assert capsys.readouterr().err == "bailiwick: The file is read-only. [BW502]\n  chmod it\n"


def test_a_fault_of_ours_is_not_hidden():
    with pytest.raises(ZeroDivisionError), refusals():
        raise ZeroDivisionError


@pytest.fixture
def plain_loggers(monkeypatch):
    """uvicorn's loggers as a new process has them: a server of another test may have given them handlers of its own."""
    for name in ("uvicorn", "uvicorn.access", "uvicorn.error"):
        logger = logging.getLogger(name)
        for attribute, value in (("propagate", True), ("handlers", []), ("disabled", False), ("level", logging.NOTSET)):
            monkeypatch.setattr(logger, attribute, value)


def test_the_access_log_holds_no_query(plain_loggers, capfd):
    async def app(conn, receive, send):
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    with listen("127.0.0.1", 0) as sock:
        port = sock.getsockname()[1]

        def ask_and_stop():
            httpx.get(f"http://127.0.0.1:{port}/device?user_code=WDJB-MJHT&login_hint=ada")
            signal.raise_signal(signal.SIGINT)

        asker = threading.Thread(target=ask_and_stop)
        with logged(Logging("info")):
            asyncio.run(serve_on(sock, app, asker.start))
        asker.join()
    told = "".join(capfd.readouterr())
    assert '"GET /device HTTP/1.1" 204' in told
    assert "WDJB" not in told
    assert "ada" not in told
