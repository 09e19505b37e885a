"""The documents are true: their examples run, their links lead somewhere, what is generated is fresh."""

import ast
import os
import re
import secrets
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

ROOT = Path(__file__).parent.parent
PAGES = [
    page
    for page in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "changelog.d").glob("*.md"))
    if page.is_file()
]
EXAMPLES = [page for page in PAGES if "```python" in page.read_text(encoding="utf-8")]


def named(page):
    return str(page.relative_to(ROOT))


def run_examples(page):
    """Run a page's Python examples one after the other, as a reader would; what they have defined."""
    names = {"__name__": "example"}
    for block in re.finditer(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE):
        # At its own line of the page, so that a traceback leads there.
        source = "\n" * page.read_text(encoding="utf-8")[: block.start(1)].count("\n") + block[1]
        exec(compile(source, page, "exec", dont_inherit=True), names)
    return names


@pytest.fixture(autouse=True)
def secret_of_the_reader(monkeypatch):
    """What a page has its reader export before they start an example."""
    monkeypatch.setenv("TOKEN_SECRET", secrets.token_hex(32))
    monkeypatch.setenv("REPORTS_CLIENT_SECRET", secrets.token_urlsafe(32))


# A text that is given where a secret belongs, in code, in a shell or in settings.
SHOWN_SECRET = re.compile(
    r"""(?:from_secret\(|\b\w*(?:secret|signing_key|token)s?\w*["']?\]?\s*[:=]\s*\[?)\s*b?(["'])(?P<text>[^"'\n]+)\1""",
    re.IGNORECASE,
)
SECRETIVE = [
    path
    for path in (*PAGES, *(ROOT / "examples").rglob("*"), *(ROOT / "docs").rglob("*.py"))
    if path.suffix in {".md", ".py", ".toml"} and not path.name.startswith("test_")
]


def test_no_secret_that_a_page_shows_is_ever_accepted():
    from bailiwick.errors import ConfigurationError
    from bailiwick.tokens import Keyring, SigningKey

    found = {
        (named(page), shown["text"])
        for page in SECRETIVE
        for shown in SHOWN_SECRET.finditer(page.read_text(encoding="utf-8"))
    }
    accepted = []
    for where, text in found:
        for load in (Keyring.from_secret, SigningKey.from_secret):
            try:
                load(text)
            except ConfigurationError:
                continue
            accepted.append((where, text))
        if re.fullmatch("[0-9a-fA-F]{64}", text):
            accepted.append((where, text))  # a digest or a key-encryption key
    assert accepted == []


def test_every_secret_of_an_example_comes_from_its_environment():
    given = [
        (named(page), argument)
        for page in SECRETIVE
        if "decisions" not in page.parts
        for argument in re.findall(r"from_secret\(([^()]*(?:\[[^]]*\])?[^()]*)\)", page.read_text(encoding="utf-8"))
    ]
    assert given
    constants = {"SECRET", "SECRET_KEY", 'os.environ["TOKEN_SECRET"]'}
    assert [one for one in given if one[1] and one[1] not in constants and one[0].endswith((".md", "main.py"))] == []


@pytest.mark.parametrize("page", EXAMPLES, ids=named)
def test_the_examples_of_a_page_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_examples(page)


def test_the_readmes_guard_answers_as_it_says(tmp_path, monkeypatch):
    from bailiwick.tokens import Signer, SigningKey

    monkeypatch.chdir(tmp_path)
    names = run_examples(ROOT / "README.md")
    import time

    signer = Signer(SigningKey.from_secret(os.environ["TOKEN_SECRET"]))
    now = int(time.time())
    claims = {
        "iss": "https://login.example.com",
        "aud": "https://api.example.com",
        "sub": "ada",
        "client_id": "cli",
        "iat": now,
        "exp": now + 60,
        "jti": "1",
    }

    def bearer(scope):
        return {"authorization": "Bearer " + signer.sign({**claims, "scope": scope})}

    http = TestClient(names["app"])
    assert http.get("/users").status_code == 401
    assert http.get("/users", headers=bearer("users:write")).json() == {"you": "ada", "may": ["users:write"]}
    refused = http.delete("/users/1", headers=bearer("users:read"))
    assert refused.status_code == 403
    assert 'scope="users:delete"' in refused.headers["www-authenticate"]
    assert http.delete("/users/1", headers=bearer("admin:*")).status_code == 200
    assert http.get("/health").status_code == 200


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_link_leads_somewhere(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if not re.match(r"[a-z]+:", target):
            assert (page.parent / target.partition("#")[0]).exists(), f"{named(page)} links to {target}"


def test_every_page_is_reached_from_the_index():
    reached, todo = set(), [ROOT / "docs" / "index.md"]
    while todo:
        page = todo.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        links = re.findall(r"\]\(([^)#:]+)[^)]*\)", page.read_text(encoding="utf-8"))
        todo += [path for link in links if (path := (page.parent / link).resolve()).is_file()]
    pages = {page for page in (ROOT / "docs").rglob("*.md") if "decisions" not in page.parts}
    assert pages <= reached


def test_the_generated_pages_are_fresh():
    command = [sys.executable, ROOT / "docs" / "generate.py", "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_make_target_that_is_named_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for page in PAGES:
        named_here = set(re.findall(r"(?:\$|`)\s?make ([a-z-]+)", page.read_text(encoding="utf-8")))
        assert named_here <= targets, named(page)


def test_make_run_installs_all_that_the_demos_pages_are_made_of(tmp_path):
    command = ["make", "-n", "run", f"VENV={tmp_path}/venv"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    wanted, found = re.search(r"-e '\.\[([a-z,]+)\]'", said)[1].split(","), set()
    while wanted:
        for one in extras[wanted.pop()]:
            inner = re.match(r"bailiwick\[([a-z,]+)\]", one)
            wanted += inner[1].split(",") if inner else []
            found.add(re.match(r"[\w-]+", one)[0])
    # Swagger UI's files, without which /docs is a white page where there is no network.
    assert {"fastapi", "uvicorn", "typer", "fastapi-offline"} <= found


def test_every_error_id_has_its_place_in_the_reference():
    from bailiwick.errors import IDS

    page = (ROOT / "docs" / "reference" / "errors.md").read_text(encoding="utf-8")
    for name, text in IDS.items():
        assert f'<a id="{name.lower()}"></a>`{name}` | {text}' in page


ERROR_ROW = re.compile(r"^\| <a id=\"bw\d+\"></a>`(BW\d+)` \| [^|]+ \| ([\d, ]*) \| ([^|]+) \|$", re.MULTILINE)


def errors_raised():
    """Each id with the statuses that the source raises it with, as far as they stand there in figures."""
    from bailiwick import errors

    for path in (ROOT / "src" / "bailiwick").rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            kind = getattr(errors, call.func.id, None) if isinstance(getattr(call, "func", None), ast.Name) else None
            if not (isinstance(kind, type) and issubclass(kind, errors.BailiwickError)):
                continue
            given = {one.arg: one.value for one in call.keywords}
            name, status = given.get("id", ast.Constant(kind.default_id)), given.get("status")
            known = status.value if isinstance(status, ast.Constant) else None
            default = 400 if kind is errors.Refused else kind.status
            for one in ast.walk(name):
                # What reads scopes knows no HTTP: the verifier turns this one into a 401.
                if isinstance(one, ast.Constant) and str(one.value).startswith("BW") and path.name != "grammar.py":
                    yield one.value, default if status is None else known, f"{path.name}:{call.lineno}"


def test_every_error_of_the_reference_says_what_to_do_and_the_statuses_that_the_source_answers_with():
    from bailiwick.errors import IDS

    page = (ROOT / "docs" / "reference" / "errors.md").read_text(encoding="utf-8")
    rows = {
        name: ({int(one) for one in statuses.split(", ") if one}, todo)
        for name, statuses, todo in ERROR_ROW.findall(page)
    }
    assert rows.keys() == IDS.keys()
    assert all(todo.endswith((".", ").")) for _, todo in rows.values())
    served = {name: statuses for name, (statuses, _) in rows.items() if not name.startswith("BW1")}
    assert all(served.values())
    found = list(errors_raised())
    assert len(found) > 100
    assert not [
        (name, status, at) for name, status, at in found if name in served and status not in {None, *served[name]}
    ]


def test_nothing_at_an_address_is_what_its_id_says():
    from bailiwick.errors import IDS

    assert "nothing at its address" in IDS["BW400"]
    assert "unknown" in IDS["BW130"]


def test_the_news_names_the_version_to_which_stores_are_brought():
    from bailiwick.storage.migrations import HEAD

    news = "\n".join(page.read_text(encoding="utf-8") for page in (ROOT / "changelog.d").glob("*.md"))
    assert set(re.findall(r"brought to version (\w+)", news)) == {HEAD.partition("_")[0]}


def test_the_package_describes_itself_by_what_is_there():
    import typer.main

    from bailiwick.cli.app import app

    package = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["description"]
    proves = {"audit", "prove"} <= typer.main.get_command(app).commands.keys()
    assert ("proof" in package) is proves


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_the_pythons_that_a_page_names_are_those_of_the_package(page):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    said = re.findall(r"^Programming Language :: Python :: (3\.\d+)$", "\n".join(project["classifiers"]), re.MULTILINE)
    text = (ROOT / page).read_text(encoding="utf-8")
    assert f"CPython {', '.join(said[:-1])} and {said[-1]}" in text.replace("\n", " ")
    assert f"Python {project['requires-python'].removeprefix('>=')} or later" in text
    assert said[0] == project["requires-python"].removeprefix(">=")


def test_the_page_about_scopes_says_which_grants_a_presented_token_bounds():
    page = (ROOT / "docs" / "concepts" / "scopes.md").read_text(encoding="utf-8")
    assert re.search(r"^ *& what the presented token carries +\(exchange, refresh\)$", page, re.MULTILINE)


def test_the_owner_of_a_note_of_the_tutorial_is_a_lasting_id_as_it_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pages = [ROOT / "docs" / "tutorial.md", ROOT / "docs" / "how-to" / "embed-the-authority.md"]
    assert all("lasting id (`usr_...`)" in page.read_text(encoding="utf-8") for page in pages)
    names = run_examples(pages[0])
    form = {"grant_type": "password", "client_id": "notes-cli", "username": "ada"}
    with TestClient(names["app"], base_url="http://127.0.0.1:8000") as http:
        answer = http.post("/auth/token", data=form | {"password": "correct horse battery staple"})
        token = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        made = http.post("/notes", params={"text": "hello"}, headers=token).json()
    assert made["by"].startswith("usr_")


def test_every_setting_is_in_the_reference_with_its_meaning_and_its_variable():
    from dataclasses import fields

    from bailiwick.authority import Lifetimes
    from bailiwick.cli.settings import OTHER_VARIABLES, TABLES, Configured

    text = (ROOT / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| `")]
    settings = {(cells[0].strip("| `"), cells[-1].strip("| `")): cells for cells in rows if len(cells) == 5}
    expected = {(name, f"BAILIWICK_{name.upper()}") for name in Configured.model_fields.keys() - {*TABLES, "lifetimes"}}
    expected |= {(one.name, f"BAILIWICK_LIFETIMES__{one.name.upper()}") for one in fields(Lifetimes)}
    for table, entry in TABLES.items():
        names = entry.model_fields
        expected |= {
            (name, f"BAILIWICK_{table.upper()}" + ("" if table == "resources" else f"__{name.upper()}"))
            for name in names
        }
    assert settings.keys() == expected
    assert all(len(cells[3]) > 10 for cells in settings.values())
    assert all(f"| `{name}` |" in text for name in OTHER_VARIABLES)


def test_every_option_of_a_guard_and_of_the_verifier_is_in_the_reference_with_its_meaning():
    import inspect

    from bailiwick import asgi, fastapi, fasterapi, starlette
    from bailiwick.tokens import JWTVerifier

    text = (ROOT / "docs" / "reference" / "guard.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## ([\w.]+)\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE))
    for kind in (asgi.Guard, fastapi.Guard, fasterapi.Guard, JWTVerifier):
        module = {JWTVerifier: "bailiwick.tokens", asgi.Guard: "bailiwick.asgi"}.get(kind, kind.__module__)
        table = sections[f"{module}.{kind.__name__}"].partition("### ")[0]
        said = {
            name: meaning
            for name, _, meaning in re.findall(r"^\| `[*]*(\w+)` \| (.*?) \| (.+) \|$", table, re.MULTILINE)
        }
        assert said.keys() == set(inspect.signature(kind.__init__).parameters) - {"self"}
    assert "### requires(*scopes" in sections["bailiwick.starlette.Guard"]
    assert "asgi.Guard" in sections["bailiwick.starlette.Guard"]
    assert starlette.Guard.__init__ is asgi.Guard.__init__  # which is why it has no table of its own


@pytest.mark.parametrize("name", ["settings.md", "guard.md", "errors.md"])
def test_make_check_notices_a_page_of_the_reference_that_is_stale(tmp_path, name):
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    page = tmp_path / "docs" / "reference" / name
    page.write_text(page.read_text(encoding="utf-8").replace(" | ", " | was ", 1), encoding="utf-8")
    command = [sys.executable, tmp_path / "docs" / "generate.py", "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, f"Stale in docs/reference: {name}. Run `make docs` and commit.\n")
    assert (
        "docs/generate.py --check"
        in re.search(r"^check:.*?\n\n", (ROOT / "Makefile").read_text(), re.DOTALL | re.MULTILINE)[0]
    )
