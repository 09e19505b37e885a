"""Private keys at rest."""

import base64
import os
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bailiwick.errors import ConfigurationError
from bailiwick.machine.sealing import KeyEncryptionKey

KEY = bytes(range(32))


@given(st.text(), st.text())
def test_what_was_sealed_opens_for_its_purpose(text, purpose):
    key = KeyEncryptionKey(KEY)
    assert key.open(key.seal(text, purpose), purpose) == text


def test_the_same_text_sealed_twice_looks_different_and_shows_nothing():
    key = KeyEncryptionKey(KEY)
    one, two = key.seal("secret", "p"), key.seal("secret", "p")
    assert one != two
    assert b"secret" not in base64.b64decode(one)


@pytest.mark.parametrize("sealed", ["", "AAAA", "not base64!", "A" * 100])
def test_what_was_never_sealed_does_not_open(sealed):
    with pytest.raises(ConfigurationError, match="does not open"):
        KeyEncryptionKey(KEY).open(sealed, "p")


def test_a_changed_bit_another_key_or_another_purpose_does_not_open():
    key = KeyEncryptionKey(KEY)
    raw = bytearray(base64.b64decode(key.seal("secret", "p")))
    for place in range(len(raw)):
        changed = bytes(raw[:place]) + bytes([raw[place] ^ 1]) + bytes(raw[place + 1 :])
        with pytest.raises(ConfigurationError):
            key.open(base64.b64encode(changed).decode(), "p")
    whole = base64.b64encode(bytes(raw)).decode()
    with pytest.raises(ConfigurationError):
        key.open(whole, "another")
    with pytest.raises(ConfigurationError):
        KeyEncryptionKey(KEY[::-1]).open(whole, "p")


def test_a_key_is_read_from_hex_or_base64_as_it_stands_in_a_file(tmp_path):
    name = KeyEncryptionKey(KEY).name
    for text in (
        KEY.hex(),
        KEY.hex().upper() + "\n",
        base64.b64encode(KEY).decode(),
        base64.urlsafe_b64encode(KEY).decode(),
    ):
        assert KeyEncryptionKey.from_text(text).name == name
        path = tmp_path / "kek"
        path.write_text(text)
        path.chmod(0o600)
        assert KeyEncryptionKey.from_file(path).name == name


@pytest.mark.parametrize(
    "text", ["", "secret", "00" * 16, "00" * 32, "zz" * 32, "\u00e5" * 44, base64.b64encode(b"x" * 31).decode()]
)
def test_anything_else_is_no_key_and_is_not_repeated(text):
    with pytest.raises(ConfigurationError) as caught:
        KeyEncryptionKey.from_text(text)
    assert caught.value.id == "BW110"
    assert not text or text not in str(caught.value)


def test_a_file_that_others_may_read_is_refused(tmp_path):
    path = tmp_path / "kek"
    path.write_text(os.urandom(32).hex())
    for mode in (0o640, 0o604, 0o660):
        path.chmod(mode)
        with pytest.raises(ConfigurationError, match="chmod 600"):
            KeyEncryptionKey.from_file(path)
    path.chmod(0o600)
    path.write_bytes(b"\xff" * 32)
    for bad in (path, tmp_path / "none"):
        with pytest.raises(ConfigurationError, match="cannot be read"):
            KeyEncryptionKey.from_file(bad)


def test_a_key_shows_its_name_and_nothing_else():
    key = KeyEncryptionKey(KEY)
    assert repr(key) == f"<KeyEncryptionKey {key.name}>"
    assert KEY.hex()[:8] not in repr(key)
    assert KeyEncryptionKey(KEY[::-1]).name != key.name


def test_a_file_that_is_missing_is_told_with_the_line_that_makes_one(tmp_path):
    path = tmp_path / "signing key.kek"
    with pytest.raises(ConfigurationError, match="no such file") as refused:
        KeyEncryptionKey.from_file(path)
    subprocess.run(["sh", "-c", refused.value.description.rpartition("with: ")[2]], check=True)
    assert KeyEncryptionKey.from_file(path).name


@pytest.mark.parametrize(("make", "why"), [("mkdir", "Is a directory."), ("write", "it holds no text.")])
def test_a_file_that_cannot_be_read_is_told_with_the_reason(tmp_path, make, why):
    path = tmp_path / "signing.kek"
    path.mkdir() if make == "mkdir" else path.write_bytes(b"\xff" * 32)
    with pytest.raises(ConfigurationError, match=f"cannot be read from {path}: {why}"):
        KeyEncryptionKey.from_file(path)
