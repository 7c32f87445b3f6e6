"""Reads a JSON body so that an error names every bad field, not only the first."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from rollbook.api.errors import PROBLEMS_MAX, ApiError
from rollbook.errors import Invalid, Problem
from rollbook.options import there_are

EXPECTED = {
    "string": "a string",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "array": "a list",
    "object": "an object",
}


class Body:
    """How the body of a route is read.

    Args:
        kind: the Struct that it becomes. Where that forbids unknown members, unknown and repeated ones are
            refused; otherwise unknown ones are ignored, and the last of several counts.
        rules: the core's rules for single fields, so that a value that breaks one is named together with a
            value of the wrong type.
        called: the name of the body in messages.
    """

    def __init__(
        self,
        kind: type[msgspec.Struct],
        rules: Mapping[str, Callable[[Any], Any]] | None = None,
        *,
        called: str = "body",
    ) -> None:
        self.kind = kind
        self._called = called
        self._rules = dict(rules or {})
        self._decode = msgspec.json.Decoder(kind).decode
        self._fields = msgspec.structs.fields(kind)
        self._strict = kind.__struct_config__.forbid_unknown_fields
        self._expected = {field.name: _expected(field.type) for field in self._fields}
        self._quoted = [f'"{field.encode_name}"'.encode() for field in self._fields]

    def read(self, data: bytes) -> msgspec.Struct:
        """Read a body. An empty one counts as an empty object, where unknown members are ignored.

        Raises:
            ApiError: 400, the body is not JSON; the message says where.
            Invalid: naming every field that is missing, has the wrong type or breaks a rule.
        """
        if not data and self._strict and self._fields:
            raise Invalid([Problem(self._called, f"The {self._called} is empty: send a JSON object.")])
        data = data or b"{}"
        try:
            value = self._decode(data)
        except msgspec.ValidationError:
            raise Invalid(self._problems(_plain(data))) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _malformed(error, data) from None
        if self._strict and self._may_repeat(data) and (problems := self._repeated(data)):
            raise Invalid(problems)
        return value

    def _may_repeat(self, data: bytes) -> bool:
        """Whether a member might be repeated: a quick test that never misses a repetition. (A name in ASCII
        can be spelled with escapes too.)"""
        for quoted in self._quoted:
            if data.count(quoted) > 1:
                return True
        return b"\\u00" in data

    def _repeated(self, data: bytes) -> list[Problem]:
        """The members that are repeated. The last of several would count, so a second `reachable` would
        cancel the first."""
        names = _member_names(data)
        return [
            Problem(name, f"The {name} is said more than once in the {self._called}.")
            for name in dict.fromkeys(names)
            if names.count(name) > 1
        ]

    def _problems(self, found: Any) -> list[Problem]:
        if not isinstance(found, dict):
            return [Problem(self._called, f"The {self._called} must be a JSON object.")]
        problems = [] if not self._strict else self._unknown(found)
        for field in self._fields:
            name = field.encode_name
            value = found.get(name)
            if field.required and value is None:
                problems.append(Problem(name, f"The {name} field is required."))
                continue
            if name not in found:
                continue
            try:
                msgspec.json.decode(
                    msgspec.json.encode(value), type=field.type
                )  # not convert: it does not accept Raw
            except msgspec.ValidationError:
                problems.append(_misfit(name, value, field.type, self._expected[name]))
                continue
            if name in self._rules and value is not None:
                try:
                    self._rules[name](value)
                except ValueError as error:
                    problems.append(Problem(name, f"The {name} {error}."))
        return problems

    def _unknown(self, found: Mapping[str, Any]) -> list[Problem]:
        known = [field.encode_name for field in self._fields]
        names = [name for name in found if name not in known][:PROBLEMS_MAX]
        return [
            Problem(name, f"There is no member {name} in the {self._called}; {there_are(known)}.")
            for name in names
        ]


def _member_names(data: bytes) -> Sequence[str]:
    """The names of the members of a JSON object that was decoded before, each as often as it occurs."""
    names: list[str] = []

    def seen(pairs: list[tuple[str, Any]]) -> None:
        """Called for inner objects first, so that the outermost one is the last."""
        names[:] = [name for name, _ in pairs]

    try:
        # Numbers become their lengths, since Python limits the digits of numbers that it reads.
        json.loads(data, object_pairs_hook=seen, parse_int=len, parse_float=len)
    except RecursionError as error:
        raise _malformed(error, data) from None
    return names


def _misfit(name: str, value: Any, kind: Any, expected: str) -> Problem:
    """The fault in a value that does not fit its field: in a list, of the first wrong item."""
    schema = msgspec.json.schema(kind)
    if isinstance(value, list) and "a list" in expected:
        for number, item in enumerate(value):
            try:
                msgspec.convert([item], kind)
            except msgspec.ValidationError:
                found = next((s for s in (schema, *schema.get("anyOf", ())) if "items" in s), schema)
                words = _words(found.get("items", {})) or "an object with an id"
                return Problem(f"{name}[{number}]", f"The {name}[{number}] must be {words}.")
    return Problem(name, f"The {name} must be {expected}.")


def _plain(data: bytes) -> Any:
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _malformed(error, data) from None


def _malformed(error: Exception, data: bytes) -> ApiError:
    if isinstance(error, RecursionError):
        return ApiError(400, "The JSON is malformed: it is nested too deeply.")
    if isinstance(error, UnicodeDecodeError):
        return ApiError(400, f"The JSON is malformed: it is not UTF-8 (byte {error.start}).")
    text = str(error).removeprefix("JSON is malformed: ")
    if "byte" not in text:
        text += f" (byte {len(data)})"
    return ApiError(400, f"The JSON is malformed: {text[:1].lower()}{text[1:]}.")


def _expected(kind: Any) -> str:
    """Words for a field's type: "a string or null"."""
    return _words(msgspec.json.schema(kind))


def _words(schema: Mapping[str, Any]) -> str:
    """Words for a JSON schema; "" for one that only refers to another."""
    kinds = [schema.get("type"), *(option.get("type") for option in schema.get("anyOf", ()))]
    if "boolean" in kinds:
        return EXPECTED["boolean"]
    if "enum" in schema:
        return f"one of {', '.join(map(str, schema['enum']))}"
    words = [EXPECTED[kind] for kind in kinds if kind in EXPECTED]
    return " or ".join([*words, "null"] if "null" in kinds else words)
