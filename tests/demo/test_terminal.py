"""What the demo prints can be pasted, and does what it says."""

import os
import re
import signal
import subprocess


def shell(script, **env):
    return subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, timeout=60, env={**os.environ, **env}, check=False
    )


def statuses(done):
    """The HTTP statuses in the order in which the commands ran: the first one's answer goes to stderr."""
    return [
        int(code) for text in (done.stderr, done.stdout) for code in re.findall(r"^HTTP/1.1 (\d+)", text, re.MULTILINE)
    ]


def test_the_three_lines_give_200_200_and_403_when_pasted(demo):
    assert len(demo.lines) == 3
    done = shell("\n".join(demo.lines))
    assert statuses(done) == [200, 200, 403], (done.stdout, done.stderr)
    assert re.search(r'www-authenticate: Bearer .*error="insufficient_scope"', done.stdout, re.IGNORECASE)
    assert re.search(r'www-authenticate: Bearer .*scope="posts:write"', done.stdout, re.IGNORECASE)


def test_the_lines_work_in_a_plain_posix_shell_too(demo):
    done = subprocess.run(["sh", "-c", "\n".join(demo.lines)], capture_output=True, text=True, timeout=60, check=False)
    assert statuses(done) == [200, 200, 403]


def test_every_route_stands_in_the_table_with_what_it_requires(demo):
    table = demo.text[: demo.text.index("People and clients")]
    rows = {
        (cells[0], cells[1]): cells[2]
        for line in table.splitlines()
        if len(cells := [cell.strip() for cell in re.split("[│┃|]", line)[1:-1]]) == 3
    }
    expected = {
        ("GET", "/profile"): "users:read",
        ("PATCH", "/profile"): "users:write",
        ("GET", "/users"): "users:read",
        ("POST", "/users"): "users:write",
        ("DELETE", "/users/{id}"): "users:delete or admin:*",
        ("GET", "/posts"): "posts:read",
        ("POST", "/posts"): "posts:write",
        ("DELETE", "/posts/{id}"): "posts:delete",
        ("GET", "/items"): "items:read",
        ("POST", "/items"): "items:write",
        ("DELETE", "/items/{id}"): "items:delete",
        ("GET", "/admin"): "admin:*",
    }
    assert expected.items() <= rows.items()
    assert rows["GET", "/health"].startswith("public")


def test_everybody_is_shown_with_a_password_that_works(demo):
    passwords = {name: demo.password(name) for name in ("alice", "erin", "root")}
    assert len(set(passwords.values())) == 3
    for name, password in passwords.items():
        assert demo.token(name, password).status_code == 200
    answer = demo.http.post(
        "/auth/token",
        data={"grant_type": "client_credentials"},
        auth=("demo-service", demo.password("demo-service")),
    )
    assert answer.status_code == 200


def test_a_second_start_keeps_people_keys_and_tokens_and_prints_no_password(tmp_path, start):
    with start(tmp_path / "data") as first:
        port = int(first.base.rpartition(":")[2])
        password = first.password("alice")
        tokens = first.token("alice").json()
        keys = first.http.get("/auth/jwks.json").json()
        assert first.call("POST", "/items", first.token("erin").json()["access_token"], json={"name": "Kept"})
    with start(tmp_path / "data", port=port) as second:
        assert password not in second.text
        assert "BAILIWICK_DEMO_PASSWORD" in second.text
        assert second.http.get("/auth/jwks.json").json() == keys
        assert second.call("GET", "/posts", tokens["access_token"]).status_code == 200
        refresh = {"grant_type": "refresh_token", "client_id": "demo-cli", "refresh_token": tokens["refresh_token"]}
        assert second.http.post("/auth/token", data=refresh).status_code == 200
        assert second.token("alice", password).status_code == 200
        names = [item["name"] for item in second.call("GET", "/items", tokens["access_token"]).json()]
        assert "Kept" in names
        # The lines take the password from the environment now, and say so where it is not there.
        assert statuses(shell("\n".join(second.lines), BAILIWICK_DEMO_PASSWORD=password)) == [200, 200, 403]
        asked = subprocess.run(
            ["bash", "-c", "unset BAILIWICK_DEMO_PASSWORD\n" + second.lines[0]],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "must hold the password of alice" in asked.stderr


def test_the_environment_sets_passwords_and_secret_at_any_start(tmp_path, start):
    given = {"BAILIWICK_DEMO_PASSWORD": "it's ours", "BAILIWICK_DEMO_SECRET": "shhh"}
    with start(tmp_path / "data", **given) as first:
        port = int(first.base.rpartition(":")[2])
        assert statuses(shell("\n".join(first.lines))) == [200, 200, 403]
        tokens = first.token("root", "it's ours").json()
        form = {"grant_type": "client_credentials"}
        assert first.http.post("/auth/token", data=form, auth=("demo-service", "shhh")).status_code == 200
    with start(tmp_path / "data", port=port, **given) as same:
        # The same password again is no new password: nobody is logged out.
        assert same.call("GET", "/admin", tokens["access_token"]).status_code == 200
    with start(tmp_path / "data", port=port, BAILIWICK_DEMO_PASSWORD="another") as other:
        assert other.token("root", "it's ours").status_code == 400
        assert other.call("GET", "/admin", tokens["access_token"]).status_code == 401
        fresh = other.token("root", "another")
        assert other.call("GET", "/admin", fresh.json()["access_token"]).status_code == 200


def test_no_secret_is_kept_in_the_clear(tmp_path, start):
    with start(tmp_path / "data") as demo:
        secrets = [demo.password(name) for name in ("alice", "erin", "root", "demo-service")]
        secrets.append(demo.token("alice").json()["refresh_token"])
        kept = b"".join(path.read_bytes() for path in (tmp_path / "data").iterdir())
        assert all(secret.encode() not in kept for secret in secrets)


def test_it_ends_in_order_when_it_is_told_to(tmp_path, start):
    """Ctrl-C is what every other test ends with; this is what an init system sends."""
    with start(tmp_path / "data") as demo:
        demo.token("alice")
        demo.signal = signal.SIGTERM
    assert {path.name for path in (tmp_path / "data").iterdir()} == {"authority.db", "demo.db"}
