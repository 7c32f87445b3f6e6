"""The document as generators of clients need it. A generator leaves out, without failing, what it cannot make
code of: openapi-python-client dropped createContactList, whose `default` could be a number or a text, and the
client of openapi-generator could not send `default=True`. The rules are those that both need."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from rollbook.api.app import ROUTES
from rollbook.api.openapi import LINKS, document
from rollbook.channels import CHANNELS

DOCUMENT = document(ROUTES)

EITHER = "/components/schemas/Contact/properties/fields"
"""The only value of two kinds, and only in answers: the vendor published both, and clients choose one."""

KINDS: Mapping[str, Any] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}


def nodes(value: Any = DOCUMENT, where: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object of the document but those in examples, with its place."""
    if isinstance(value, dict):
        yield where, value
        for name, member in value.items():
            if name not in ("example", "examples"):
                yield from nodes(member, f"{where}/{name}")
    elif isinstance(value, list):
        for number, member in enumerate(value):
            yield from nodes(member, f"{where}/{number}")


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield f"{method} {path}", operation


def test_a_value_is_of_one_kind_or_null() -> None:
    seen = 0
    for where, node in nodes():
        assert not {"oneOf", "allOf", "not", "if"} & set(node), where
        assert not isinstance(node.get("type"), list), where
        if "anyOf" in node and where != EITHER:
            kinds = [option.get("type", "a reference") for option in node["anyOf"]]
            assert len(kinds) == 2, where
            assert kinds[1] == "null", where
            seen += 1
    assert seen > 30


def test_flags_are_a_boolean_or_null() -> None:
    seen = 0
    for where, node in nodes(DOCUMENT["components"]["schemas"]):
        if re.search(r"/(List|Field)(Create|Update)/properties/(default|is_visible|is_visiable)$", where):
            assert node["anyOf"] == [{"type": "boolean"}, {"type": "null"}], where
            seen += 1
    assert seen == 5


def test_a_list_says_what_is_in_it() -> None:
    seen = 0
    for where, node in nodes():
        if node.get("type") == "array":
            assert {"type", "$ref"} & set(node["items"]), where
            seen += 1
    assert seen > 40
    kinds = DOCUMENT["components"]["schemas"]
    for kind, name in (("StopsAdd", "types"), ("StopsRemove", "types"), ("AudienceBody", "reachable")):
        assert kinds[kind]["properties"][name]["items"]["enum"] == [*CHANNELS]


def test_a_choice_has_a_type_and_words_of_it() -> None:
    for where, node in nodes():
        if isinstance(node.get("enum"), list):
            assert all(isinstance(word, KINDS[node["type"]]) for word in node["enum"]), where


def test_a_default_is_of_the_kind_of_its_value() -> None:
    for where, node in nodes():
        if "default" in node and not where.endswith("/properties"):
            options = node.get("anyOf", [node])
            kinds = [KINDS[option["type"]] for option in options if option.get("type") in KINDS]
            assert any(isinstance(node["default"], kind) for kind in kinds), where


def test_every_reference_is_to_something() -> None:
    found = 0
    for where, node in nodes():
        if "$ref" in node:
            target: Any = DOCUMENT
            for part in node["$ref"].removeprefix("#/").split("/"):
                assert part in target, (where, node["$ref"])
                target = target[part]
            assert set(node) == {"$ref"}, where
            found += 1
    assert found > 100


def test_bodies_and_answers_in_json_are_named() -> None:
    """A schema without a name gets one of the generator's, which changes with the document."""
    own = {"/", "/healthz", "/readyz"}
    for where, operation in operations():
        if where.partition(" ")[2] in own:
            continue
        contents = [operation.get("requestBody", {}), *operation["responses"].values()]
        for content in contents:
            media = content.get("content", {}).get("application/json")
            assert media is None or set(media["schema"]) == {"$ref"}, where


def test_names_make_different_identifiers() -> None:
    names = [operation["operationId"] for _, operation in operations()]
    assert all(re.fullmatch("[a-z][A-Za-z]+", name) for name in names)
    kinds = list(DOCUMENT["components"]["schemas"])
    assert all(re.fullmatch("[A-Z][A-Za-z]+", name) for name in kinds)
    for words in (names, kinds):  # a file each, and some file systems ignore case
        assert max(Counter(word.lower() for word in words).values()) == 1
    for where, operation in operations():
        made = [
            re.sub(r"\W+", "_", parameter["name"]).lower() for parameter in operation.get("parameters", [])
        ]
        assert len(made) == len(set(made)), where


@pytest.mark.parametrize("name", ["documentation", "openapi", "api", "health", "readiness", "metrics"])
def test_the_root_links_to_what_there_is(name: str) -> None:
    paths = {*DOCUMENT["paths"], "/docs", "/openapi.json"}
    assert LINKS[name] in paths or any(path.startswith(LINKS[name]) for path in paths)
