"""The page that shows the API works without anything from the internet."""

from __future__ import annotations

import re

import httpx
import pytest

from tests.conftest import Live

TYPES = {"css": "text/css", "js": "text/javascript", "png": "image/png"}


@pytest.fixture
def page(live: Live) -> httpx.Response:
    return httpx.get(f"{live.service.url}/docs")


def test_the_page_needs_no_token_and_forbids_everything_foreign(page: httpx.Response) -> None:
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = dict(part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'self'"
    assert "script-src" not in policy
    assert "connect-src" not in policy


def test_everything_the_page_refers_to_comes_from_the_service(live: Live, page: httpx.Response) -> None:
    links = re.findall(r"""(?:src|href)\s*=\s*["']?([^"'\s>]*)""", page.text)
    assert len(links) >= 4
    for link in links:
        assert re.fullmatch(r"/docs/[\w.-]+", link), link
        answer = httpx.get(live.service.url + link)
        assert answer.status_code == 200, link
        assert answer.headers["content-type"].partition(";")[0] == TYPES[link.rpartition(".")[2]]
        assert len(answer.content) > 100


def test_neither_the_page_nor_its_start_names_another_host(live: Live, page: httpx.Response) -> None:
    start = httpx.get(f"{live.service.url}/docs/start.js")
    for text in (page.text, start.text):
        assert "//" not in text
    assert 'url: "/openapi.json"' in start.text
    assert httpx.get(f"{live.service.url}/openapi.json").status_code == 200


def test_no_other_file_is_served(live: Live) -> None:
    for name in ("swagger-ui.css.map", "index.html", "..%2F__init__.py", "%2e%2e/__init__.py"):
        answer = httpx.get(f"{live.service.url}/docs/{name}")
        assert answer.status_code == 404, name
        assert answer.json() == {"message": "There is no such route.", "errors": []}
