"""Where a handler is written is told without opening a file."""

import functools
import io
import os
import sys
from pathlib import Path

import pytest

from bailiwick.graph.signature import source_of


def function(request):
    return request


@functools.cache
def decorated(request):
    return request


class Endpoint:
    kind = function

    @staticmethod
    def get(request):
        return request

    def post(self, request):
        return request


class Empty(Endpoint):
    pass


LINES = Path(__file__).read_text().splitlines()


def line_of(text):
    return next(number for number, line in enumerate(LINES, 1) if line.strip() == text)


@pytest.fixture(autouse=True)
def no_file(monkeypatch):
    def opened(*_args, **_more):
        raise AssertionError("a file was touched")

    monkeypatch.setattr(os, "stat", opened)
    monkeypatch.setattr(io, "open", opened)
    monkeypatch.setattr("builtins.open", opened)
    monkeypatch.setattr("linecache.getlines", opened)


def test_functions_methods_and_partials_are_found_by_their_code():
    plain = f"{__file__}:{line_of('def function(request):')}"

    assert source_of(function) == source_of(functools.partial(functools.partial(function), 1)) == plain
    assert source_of(Endpoint().post) == f"{__file__}:{line_of('def post(self, request):')}"
    assert source_of(decorated) == f"{__file__}:{line_of('@functools.cache')}"


def test_a_class_and_its_instances_are_found_by_its_own_line_or_that_of_its_first_method():
    line = line_of("class Endpoint:" if sys.version_info >= (3, 13) else "@staticmethod")

    assert source_of(Endpoint) == source_of(Endpoint()) == f"{__file__}:{line}"


def test_of_a_class_without_code_the_file_is_told():
    assert source_of(Empty).startswith(__file__)
    assert source_of(Empty()) == source_of(Empty)


def test_what_is_written_nowhere_has_no_place():
    assert source_of(len) == source_of(7) == source_of(int) == ""
