"""Every kind of bad request: the answer that wire.md section 1 promises, and nothing changed."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import jwt
import pytest

from rollbook.api.app import ROUTES
from tests.calls import (
    BODIES,
    PHONE,
    everything,
    filled,
    made_book,
    made_contact,
    made_field,
    made_list,
    noun_of,
    stopped,
    upserted,
)
from tests.conftest import Live

INVALID = "The given data was invalid."
NO_LIST = "Contact group is not found"
TAKEN = "Contact group is already exists"
NO_CONTACT = "Invalid contact id"
PHONE_TAKEN = "Phone number is already exist in contact book"
BAD_PHONE = "Invalid phone number format"
NO_FIELD = "Contact field is not found"
FIELD_TAKEN = "Contact field is already exists"
NEW = PHONE + 700_000_000
"""A phone that is not in the book."""


class Case(NamedTuple):
    """A request and what it must be answered.

    Args:
        path: names ids of the book in braces.
        body: bytes, or what becomes JSON, with ids of the book as texts such as `"{list}"` (which become
            numbers) and `Ids`.
        fields: that the errors name, in their order.
        told: what the errors say besides.
    """

    title: str
    method: str
    path: str
    body: Any
    status: int
    message: str
    fields: tuple[str, ...] = ()
    headers: dict[str, str] = {}
    told: tuple[str, ...] = ()


CASES = [
    Case("name of 2 characters", "POST", "/api/groups", {"name": "ab"}, 422, INVALID, ("name",)),
    Case("name of 51 characters", "POST", "/api/groups", {"name": "x" * 51}, 422, INVALID, ("name",)),
    Case("name of 3 spaces", "POST", "/api/groups", {"name": "   "}, 422, INVALID, ("name",)),
    Case("name of 2 after trimming", "POST", "/api/groups", {"name": " ab "}, 422, INVALID, ("name",)),
    Case("name with NUL", "POST", "/api/groups", {"name": "abc\0d"}, 422, INVALID, ("name",)),
    Case("no name", "POST", "/api/groups", {"description": "x"}, 422, INVALID, ("name",)),
    Case("name null", "POST", "/api/groups", {"name": None}, 422, INVALID, ("name",)),
    Case("name a number", "POST", "/api/groups", {"name": 123}, 422, INVALID, ("name",)),
    Case("name a list", "POST", "/api/groups", {"name": ["abc"]}, 422, INVALID, ("name",)),
    Case("description a number", "POST", "/api/groups", {"name": "abc", "description": 5}, 422, INVALID, ("description",)),
    Case("description of 256", "POST", "/api/groups", {"name": "abc", "description": "x" * 256}, 422, INVALID, ("description",)),
    Case("default a word", "POST", "/api/groups", {"name": "abc", "default": "yes"}, 422, INVALID, ("default",)),
    Case("default 2", "POST", "/api/groups", {"name": "abc", "default": 2}, 422, INVALID, ("default",)),
    Case("default an object", "POST", "/api/groups", {"name": "abc", "default": {}}, 422, INVALID, ("default",)),
    Case("two bad values", "POST", "/api/groups", {"name": "ab", "description": "x" * 300}, 422, INVALID, ("name", "description")),
    Case("a bad type and a bad value", "POST", "/api/groups", {"name": "ab", "default": "yes"}, 422, INVALID, ("name", "default")),
    Case("three bad fields", "POST", "/api/groups", {"description": 1, "default": []}, 422, INVALID, ("name", "description", "default")),
    Case("name taken", "POST", "/api/groups", {"name": "Taken"}, 422, TAKEN),
    Case("name taken but for spaces", "POST", "/api/groups", {"name": " Taken  "}, 422, TAKEN),
    Case("name taken in another Unicode form", "POST", "/api/groups", {"name": "Cafe\u0301"}, 422, TAKEN),
    Case("an empty body", "POST", "/api/groups", b"", 422, INVALID, ("name",)),
    Case("a body that is a list", "POST", "/api/groups", [], 422, INVALID, ("body",)),
    Case("a body that is a text", "POST", "/api/groups", "abc", 422, INVALID, ("body",)),
    Case("malformed JSON", "POST", "/api/groups", b'{"name": "abc",}', 400, "The JSON is malformed: "),
    Case("JSON cut short", "POST", "/api/groups", b'{"name": "ab', 400, "The JSON is malformed: "),
    Case("JSON nested too deeply", "POST", "/api/groups", b'{"name":' + b"[" * 200_000, 400, "The JSON is malformed: "),
    Case("JSON that is not UTF-8", "POST", "/api/groups", b'{"name": "\xff\xfe\xfd"}', 400, "The JSON is malformed: "),
    Case("half a surrogate pair", "POST", "/api/groups", b'{"name": "abc\\ud800"}', 400, "The JSON is malformed: "),
    Case("a body of 2 MiB", "POST", "/api/groups", {"name": "abc", "description": "x" * 2**21}, 413, "The body is larger than 1048576 bytes."),
    Case("a form", "POST", "/api/groups", b"name=abc", 415, "The body must be JSON: ", headers={"Content-Type": "application/x-www-form-urlencoded"}),
    Case("plain text", "PUT", "/api/groups/{id}", b"name=abc", 415, "The body must be JSON: ", headers={"Content-Type": "text/plain"}),
    Case("rename to a taken name", "PUT", "/api/groups/{id}", {"name": "Taken"}, 422, TAKEN),
    Case("rename to 2 characters", "PUT", "/api/groups/{id}", {"name": "ab", "default": "no"}, 422, INVALID, ("name", "default")),
    Case("rename to null", "PUT", "/api/groups/{id}", {"name": None}, 422, INVALID, ("name",)),
    Case("rename to nothing", "PUT", "/api/groups/{id}", {"name": ""}, 422, INVALID, ("name",)),
    Case("change an unknown list", "PUT", "/api/groups/999999", {"name": "abc", "default": True}, 422, NO_LIST),
    Case("delete an unknown list", "DELETE", "/api/groups/999999", b"", 422, NO_LIST),
    Case("show an unknown list", "GET", "/api/groups/999999", b"", 422, NO_LIST),
    Case("show list 0", "GET", "/api/groups/0", b"", 422, NO_LIST),
    Case("show a word", "GET", "/api/groups/abc", b"", 422, NO_LIST),
    Case("show a negative id", "GET", "/api/groups/-1", b"", 422, NO_LIST),
    Case("show an id beyond 64 bits", "GET", "/api/groups/99999999999999999999999", b"", 422, NO_LIST),
    Case("a page that is too small", "GET", "/api/groups?page[limit]=14", b"", 422, INVALID, ("page[limit]",)),
    Case("a page that is too large", "GET", "/api/groups?page[limit]=501", b"", 422, INVALID, ("page[limit]",)),
    Case("a negative offset", "GET", "/api/groups?page[offset]=-1", b"", 422, INVALID, ("page[offset]",)),
    Case("both wrong", "GET", "/api/groups?page[offset]=x&page[limit]=y", b"", 422, INVALID, ("page[offset]", "page[limit]")),
    Case("an offset beyond 64 bits", "GET", "/api/groups?page[offset]=99999999999999999999", b"", 422, INVALID, ("page[offset]",)),
    Case("after and offset", "GET", "/api/groups?page[offset]=5&page[after]=5", b"", 422, INVALID, ("page[after]",)),
    Case("search by an unknown field", "GET", "/api/groups/search?search[field]=color&search[value]=x", b"", 422, INVALID, ("search[field]",)),
    Case("search by an operator that the field has not", "GET", "/api/groups/search?search[field]=id&search[operator]=like&search[value]=1", b"", 422, INVALID, ("search[operator]",)),
    Case("search a number by a word", "GET", "/api/groups/search?search[field]=items&search[value]=many", b"", 422, INVALID, ("search[value]",)),
    Case("search a date by a word", "GET", "/api/groups/search?search[field]=created_at&search[value]=yesterday", b"", 422, INVALID, ("search[value]",)),
    Case("search a date that is none", "GET", "/api/groups/search?search[field]=date&search[value]=2022-02-30", b"", 422, INVALID, ("search[value]",)),
    Case("search without a value", "GET", "/api/groups/search?search[field]=name", b"", 422, INVALID, ("search[value]",)),
    Case("search without a field", "GET", "/api/groups/search?search[value]=name", b"", 422, INVALID, ("search[field]",)),
    Case("search for NUL", "GET", "/api/groups/search?search[field]=name&search[value]=%00", b"", 422, INVALID, ("search[value]",)),
    Case("sort by an unknown field", "GET", "/api/groups/search?sort=color", b"", 422, INVALID, ("sort",)),
    Case("sort in an unknown way", "GET", "/api/groups/search?sort=id&way=up", b"", 422, INVALID, ("way",)),
    Case("everything wrong", "GET", "/api/groups/search?sort=color&way=up&page[limit]=1&search_fields[3][field]=x&search_fields[3][value]=1", b"", 422, INVALID, ("page[limit]", "search_fields[3][field]", "way", "sort")),
    Case("keyset after an unknown row", "GET", "/api/groups/search?sort=name&page[after]=999999", b"", 422, INVALID, ("page[after]",)),
    Case("a bad Idempotency-Key", "POST", "/api/groups", {"name": "abcd"}, 422, INVALID, ("Idempotency-Key",), headers={"Idempotency-Key": "a b"}),
    Case("login without a key", "POST", "/api/auth/login", {}, 422, INVALID, ("api_key",)),
    Case("login with a number", "POST", "/api/auth/login", {"api_key": 5}, 422, INVALID, ("api_key",)),
    Case("login with a wrong key", "POST", "/api/auth/login", {"api_key": "live_" + "x" * 20}, 401, "The API key is unknown or was revoked."),
    Case("login with nonsense", "POST", "/api/auth/login", {"api_key": ""}, 401, "The API key is unknown or was revoked."),
    Case("an unknown route", "GET", "/api/nothing", b"", 404, "There is no such route."),
    Case("an unknown route below one that is known", "GET", "/api/groups/1/nothing", b"", 404, "There is no such route."),
    Case("a wrong method", "PATCH", "/api/groups", b"", 405, "This route does not take PATCH."),
    Case("a wrong method on one list", "POST", "/api/groups/{id}", {}, 405, "This route does not take POST."),
    Case("a method that is none", "BREW", "/api/groups", b"", 400, ""),
]  # fmt: skip


def _contact(fields: tuple[str, ...], told: tuple[str, ...] = (), /, **body: Any) -> list[Case]:
    """A contact that must be refused in a POST and in a PUT."""
    title = f"a contact with {json.dumps(body)[:60]}"
    return [
        Case(
            f"create {title}",
            "POST",
            "/api/contacts",
            {"phone": NEW, **body},
            422,
            INVALID,
            fields,
            told=told,
        ),
        Case(f"change to {title}", "PUT", "/api/contacts/{contact}", body, 422, INVALID, fields, told=told),
    ]


BAD_PHONES: list[Any] = [
    12, 12345678, "12345678", 1234567890123456, "380 00 000 000 000 000 0", "", " ", "+", "phone", "38000000000x",
    "380000000001,", "++380000000001", "380000000001 ext 5", 999123456789, "999123456789", 210123456789, -380000000001,
    0, "0380000000001", 38000000000, "38011111111111", 2**63, 2**80, "\u0663\u0668\u0660\u0660\u0660\u0660\u0660\u0660\u0660\u0660\u0660\u0661",
]  # fmt: skip
NO_PHONES: list[Any] = [380000000001.0, 3.8e11, True, False, None, [], {}, [PHONE]]
NO_IDS: list[Any] = [0, -1, "x", "1.5", 2**53]

CONTACT_CASES = [
    *(Case(f"create a contact with the phone {phone!r}", "POST", "/api/contacts", {"phone": phone}, 422, BAD_PHONE) for phone in BAD_PHONES),
    *(Case(f"change to the phone {phone!r}", "PUT", "/api/contacts/{contact}", {"phone": phone}, 422, BAD_PHONE) for phone in BAD_PHONES[::4]),
    *(Case(f"create a contact with the phone {phone!r}", "POST", "/api/contacts", {"phone": phone}, 422, INVALID, ("phone",)) for phone in NO_PHONES),
    *(Case(f"change to the phone {phone!r}", "PUT", "/api/contacts/{contact}", {"phone": phone}, 422, INVALID, ("phone",)) for phone in NO_PHONES),
    Case("create a contact without a phone", "POST", "/api/contacts", {"groups": ["{list}"]}, 422, INVALID, ("phone",)),
    Case("create a contact from nothing", "POST", "/api/contacts", b"", 422, INVALID, ("phone",)),
    Case("create a contact from a list", "POST", "/api/contacts", [PHONE], 422, INVALID, ("body",)),
    Case("create a contact from broken JSON", "POST", "/api/contacts", b'{"phone": 380000000001', 400, "The JSON is malformed: "),
    Case("create a contact from a form", "POST", "/api/contacts", b"phone=380000000001", 415, "The body must be JSON: ", headers={"Content-Type": "application/x-www-form-urlencoded"}),
    Case("create a contact from 2 MiB", "POST", "/api/contacts", {"phone": NEW, "x": "x" * 2**21}, 413, "The body is larger than 1048576 bytes."),
    Case("create a contact with a phone that is taken", "POST", "/api/contacts", {"phone": "+380 00 000 00 01", "groups": ["{list}"]}, 422, PHONE_TAKEN),
    Case("change to a phone that is taken", "PUT", "/api/contacts/{contact}", {"phone": PHONE + 2, "groups": ["{taken_list}"], "fields": [{"id": "{text}", "value": "new"}]}, 422, PHONE_TAKEN),
    Case("a bad phone and a bad list", "POST", "/api/contacts", {"phone": "12", "groups": ["x"]}, 422, INVALID, ("phone", "groups[0]")),
    Case("a bad phone and no list", "PUT", "/api/contacts/{contact}", {"phone": "12", "groups": 5}, 422, INVALID, ("phone", "groups")),
    Case("three bad members", "POST", "/api/contacts", {"phone": True, "groups": 5, "fields": 7}, 422, INVALID, ("phone", "groups", "fields")),
    *_contact(("groups",), ("999999", "888888"), groups=["{list}", 999999, "{list}", {"id": 888888, "default": False}]),
    *_contact(("fields",), ("999999",), fields=[{"id": "{text}", "value": "x"}, {"id": 999999, "value": "x"}]),
    *_contact(("groups", "fields"), ("888888", "999999"), groups=[888888], fields=[{"id": 999999}]),
    *_contact(("groups",), ("0 to 100",), groups=list(range(1, 102))),
    *_contact(("groups",), groups="{list}"),
    *_contact(("groups",), groups={"id": "{list}"}),
    *_contact(("groups[1]",), groups=["{list}", None]),
    *_contact(("groups[1]",), groups=["{list}", {"default": False}]),
    *_contact(("groups[0]",), groups=[True]),
    *_contact(("groups[0]",), groups=[1.0]),
    *(case for id in NO_IDS for case in _contact(("groups[1]",), groups=["{list}", id])),
    *(case for id in NO_IDS for case in _contact(("groups[0]",), groups=[{"id": id}])),
    *(case for id in NO_IDS for case in _contact(("fields[0]",), fields=[{"id": id, "value": "x"}])),
    *_contact(("fields",), ("999999",), fields={"999999": "x"}),
    *_contact(("fields",), ("999999",), fields=[{"999999": "x"}]),
    *_contact(("fields[City]",), fields={"City": "x"}),
    *_contact(("fields[0]",), fields=[{"City": "x"}]),
    *_contact(("fields[0]",), fields=[{}]),
    *_contact(("fields[0]",), fields=[{"id": "{text}", "value": True}]),
    *_contact(("fields[0]",), fields=[{"value": "x"}]),
    *_contact(("fields[0]",), fields=[5]),
    *_contact(("fields[0]",), fields=[{"id": "{text}", "value": ["x"]}]),
    *_contact(("fields",), ("number",), fields=[{"id": "{text}", "value": "x"}, {"id": "{number}", "value": "x"}]),
    *_contact(("fields",), ("date",), fields=[{"id": "{date}", "value": "2022-02-30"}]),
    *_contact(("fields",), ("255",), fields=[{"id": "{text}", "value": "x" * 256}]),
    *_contact(("fields",), ("NUL",), fields=[{"id": "{text}", "value": "a\0"}]),
    *_contact(("fields", "fields"), ("Number", "Date"), fields=[{"id": "{number}", "value": "many"}, {"id": "{date}", "value": "some day"}]),
    *(
        Case(f"{method} contact {id}", method, f"/api/contacts/{id}", {"phone": NEW} if method == "PUT" else b"", 422, NO_CONTACT)
        for method in ("GET", "PUT", "DELETE")
        for id in ("999999", "0", "-1", "abc", "1.5", "9007199254740992", "9" * 30, "%31%00", "\u0661", "1e3")
    ),
    Case("a wrong method on a contact", "POST", "/api/contacts/{contact}", {}, 405, "This route does not take POST."),
    Case("a wrong method on contacts", "DELETE", "/api/contacts", b"", 405, "This route does not take DELETE."),
    Case("contacts of a list that is none", "GET", "/api/contacts?groups[]=x&groups[]={list}", b"", 422, INVALID, ("groups[0]",)),
    Case("contacts of 101 lists", "GET", "/api/contacts?" + "&".join(f"groups[]={n}" for n in range(1, 102)), b"", 422, INVALID, ("groups",)),
    Case("contacts of a bad page and list", "GET", "/api/contacts?page[limit]=501&page[offset]=-1&groups[]=0", b"", 422, INVALID, ("page[offset]", "page[limit]", "groups[0]")),
    Case("delete nothing", "POST", "/api/contacts/delete", b"", 422, INVALID, ("contact_ids", "group_ids")),
    Case("delete empty lists", "POST", "/api/contacts/delete?contact_ids[]=&group_ids[]=", {"contact_ids": []}, 422, INVALID, ("contact_ids", "group_ids")),
    Case("delete what is no id", "POST", "/api/contacts/delete?contact_ids[]={contact}&contact_ids[]=x&group_ids[]=y", b"", 422, INVALID, ("contact_ids[1]", "group_ids[0]")),
    Case("delete 5,001 contacts by id", "POST", "/api/contacts/delete", {"contact_ids": "{many_ids}"}, 422, INVALID, ("contact_ids",), told=("5000",)),
    Case("delete 5,001 contacts of a list", "POST", "/api/contacts/delete?group_ids[]={big_list}", b"", 422, "One call deletes at most 5000 contacts."),
    Case("delete 5,000 of a list and one more", "POST", "/api/contacts/delete?contact_ids[]={contact}&group_ids[]={full_list}", b"", 422, "One call deletes at most 5000 contacts."),
    Case("delete by a word", "POST", "/api/contacts/delete", {"contact_ids": "x", "group_ids": [True]}, 422, INVALID, ("contact_ids", "group_ids[0]")),
    Case("upsert nothing", "POST", "/api/contacts/upsert", {"contacts": []}, 422, INVALID, ("contacts",), told=("1 to 10000",)),
    Case("upsert no contacts", "POST", "/api/contacts/upsert", {}, 422, INVALID, ("contacts",)),
    Case("upsert an object", "POST", "/api/contacts/upsert", {"contacts": {}}, 422, INVALID, ("contacts",)),
    Case("upsert null", "POST", "/api/contacts/upsert", {"contacts": None}, 422, INVALID, ("contacts",)),
    Case("upsert 10,001 contacts", "POST", "/api/contacts/upsert", {"contacts": [{"phone": NEW}] * 10_001}, 422, INVALID, ("contacts",)),
    Case("upsert more than its body may have", "POST", "/api/contacts/upsert", b" " * 2**26, 413, "The body is larger than "),
]  # fmt: skip

MEMBER_CASES = [
    case
    for verb in ("attach", "detach")
    for path in (f"/api/groups/{verb}",)
    for case in (
        Case(f"{verb} 201 contacts", "POST", path, {"contacts": list(range(1, 202)), "groups": ["{list}"]}, 422, INVALID, ("contacts",), told=("1 to 200",)),
        Case(f"{verb} 101 lists", "POST", path, {"contacts": ["{contact}"], "groups": list(range(1, 102))}, 422, INVALID, ("groups",), told=("1 to 100",)),
        Case(f"{verb} the same contact 201 times", "POST", path, {"contacts": ["{contact}"] * 201, "groups": ["{list}"]}, 422, INVALID, ("contacts",)),
        Case(f"{verb} nobody", "POST", path, {"contacts": [], "groups": []}, 422, INVALID, ("contacts", "groups")),
        Case(f"{verb} nothing", "POST", path, {}, 422, INVALID, ("contacts", "groups")),
        Case(f"{verb} null", "POST", path, {"contacts": None, "groups": ["{list}"]}, 422, INVALID, ("contacts",)),
        Case(f"{verb} one that is no list", "POST", path, {"contacts": 1, "groups": "1"}, 422, INVALID, ("contacts", "groups")),
        Case(f"{verb} wrong types", "POST", path, {"contacts": ["{contact}", None], "groups": [{"id": "{list}"}]}, 422, INVALID, ("contacts[1]", "groups[0]")),
        *(Case(f"{verb} the id {id!r}", "POST", path, {"contacts": ["{contact}", id], "groups": [id]}, 422, INVALID, ("contacts[1]", "groups[0]")) for id in NO_IDS),
        Case(f"{verb} an unknown contact amid others", "POST", path, {"contacts": ["{other}", 999999, "{contact}"], "groups": ["{list}"]}, 422, INVALID, ("contacts",), told=("999999",)),
        Case(f"{verb} an unknown list amid others", "POST", path, {"contacts": ["{other}", "{contact}"], "groups": ["{list}", 888888, "{taken_list}"]}, 422, INVALID, ("groups",), told=("888888",)),
        Case(f"{verb} both unknown", "POST", path, {"contacts": [999999, "{other}"], "groups": [888888, "{list}"]}, 422, INVALID, ("contacts", "groups"), told=("999999", "888888")),
    )
] + [
    Case("no phones into a list", "POST", "/api/groups/{list}/contacts", {"phones": []}, 422, INVALID, ("phones",), told=("1 to 10000",)),
    Case("phones that are no list", "POST", "/api/groups/{list}/contacts", {"phones": NEW}, 422, INVALID, ("phones",)),
    Case("no member phones", "POST", "/api/groups/{list}/contacts", {}, 422, INVALID, ("phones",)),
    Case("10,001 phones into a list", "POST", "/api/groups/{list}/contacts", {"phones": [NEW] * 10_001}, 422, INVALID, ("phones",)),
    Case("phones into an unknown list", "POST", "/api/groups/999999/contacts", {"phones": [NEW]}, 422, NO_LIST),
    Case("phones into no list", "POST", "/api/groups/x/contacts", {"phones": [NEW]}, 422, NO_LIST),
    Case("stats of an unknown list", "GET", "/api/groups/999999/stats", b"", 422, NO_LIST),
]  # fmt: skip

NO_TYPES: list[Any] = ["bool", "", "TEXT", 5, None, []]

FIELD_CASES = [
    *(
        case
        for method, path, more in (("POST", "/api/contacts/fields", {"name": "New", "type": "text"}), ("PATCH", "/api/contacts/fields/{text}", {}))
        for case in (
            Case(f"{method} a field name of 31", method, path, {**more, "name": "x" * 31}, 422, INVALID, ("name",)),
            Case(f"{method} no field name", method, path, {**more, "name": ""}, 422, INVALID, ("name",)),
            Case(f"{method} a blank field name", method, path, {**more, "name": " \n "}, 422, INVALID, ("name",)),
            Case(f"{method} a field name with NUL", method, path, {**more, "name": "a\0"}, 422, INVALID, ("name",)),
            Case(f"{method} a field name null", method, path, {**more, "name": None}, 422, INVALID, ("name",)),
            Case(f"{method} a field name of another type", method, path, {**more, "name": 5}, 422, INVALID, ("name",)),
            Case(f"{method} a field description of 256", method, path, {**more, "description": "x" * 256}, 422, INVALID, ("description",)),
            Case(f"{method} a field description of another type", method, path, {**more, "description": []}, 422, INVALID, ("description",)),
            Case(f"{method} is_visible a word", method, path, {**more, "is_visible": "yes"}, 422, INVALID, ("is_visible",)),
            Case(f"{method} is_visible 2", method, path, {**more, "is_visible": 2}, 422, INVALID, ("is_visible",)),
            Case(f"{method} a field name that is taken", method, path, {**more, "name": " Number "}, 422, FIELD_TAKEN),
            Case(f"{method} everything of a field wrong", method, path, {**more, "name": "x" * 31, "description": "x" * 256, "is_visible": []}, 422, INVALID, ("name", "description", "is_visible")),
        )
    ),
    Case("is_visiable a word", "PATCH", "/api/contacts/fields/{text}", {"is_visiable": "yes"}, 422, INVALID, ("is_visiable",)),
    *(Case(f"the field type {type!r}", "POST", "/api/contacts/fields", {"name": "New", "type": type}, 422, INVALID, ("type",)) for type in NO_TYPES),
    Case("a field type is named with all there are", "POST", "/api/contacts/fields", {"name": "New", "type": "bool"}, 422, INVALID, ("type",), told=("one of ", "text", "integer")),
    Case("a field without a type", "POST", "/api/contacts/fields", {"name": "New"}, 422, INVALID, ("type",)),
    Case("a field of nothing", "POST", "/api/contacts/fields", {}, 422, INVALID, ("name", "type")),
    *(Case(f"change the field {id}", "PATCH", f"/api/contacts/fields/{id}", {"name": "New"}, 422, NO_FIELD) for id in ("999999", "0", "x", "-1", "9" * 20)),
    Case("delete 31 fields", "POST", "/api/contacts/fields/delete", {"ids": list(range(1, 32))}, 422, INVALID, ("ids",), told=("1 to 30",)),
    Case("delete 0 fields", "POST", "/api/contacts/fields/delete", {"ids": []}, 422, INVALID, ("ids",)),
    Case("delete no fields", "POST", "/api/contacts/fields/delete", {}, 422, INVALID, ("ids",)),
    *(Case(f"delete the field {id!r}", "POST", "/api/contacts/fields/delete", {"ids": ["{text}", id]}, 422, INVALID, ("ids[1]",)) for id in [*NO_IDS, None, 1.5]),
    Case("show one field", "GET", "/api/contacts/fields/{text}", b"", 405, "This route does not take GET."),
    Case("put a field", "PUT", "/api/contacts/fields/{text}", {"name": "New"}, 405, "This route does not take PUT."),
]  # fmt: skip

STOP_CASES = [
    Case("stop 1,001 phones", "POST", "/api/stoplist/attach", {"phones": [NEW + n for n in range(1_001)], "types": ["sms"]}, 422, INVALID, ("phones",), told=("1 to 1000",)),
    Case("stop 0 phones", "POST", "/api/stoplist/attach", {"phones": [], "types": ["sms"]}, 422, INVALID, ("phones",)),
    Case("stop on 0 channels", "POST", "/api/stoplist/attach", {"phones": [NEW], "types": []}, 422, INVALID, ("types",), told=("1 to 4",)),
    Case("stop on 5 channels", "POST", "/api/stoplist/attach", {"phones": [NEW], "types": ["sms", "viber", "rcs", "whatsapp", "sms"]}, 422, INVALID, ("types",)),
    Case("stop on an unknown channel", "POST", "/api/stoplist/attach", {"phones": [NEW], "types": ["sms", "fax"]}, 422, INVALID, ("types[1]",), told=("whatsapp",)),
    Case("stop on one channel, no list", "POST", "/api/stoplist/attach", {"phones": [NEW], "types": "sms"}, 422, INVALID, ("types",)),
    Case("stop on null", "POST", "/api/stoplist/attach", {"phones": [NEW], "types": None}, 422, INVALID, ("types",)),
    Case("stop nothing", "POST", "/api/stoplist/attach", {}, 422, INVALID, ("phones", "types")),
    Case("stop a phone that is none amid others", "POST", "/api/stoplist/attach", {"phones": [NEW, "12", NEW + 1, "x"], "types": ["sms"]}, 422, INVALID, ("phones[1]", "phones[3]")),
    Case("stop a float", "POST", "/api/stoplist/attach", {"phones": [NEW, 3.8e11], "types": ["sms"]}, 422, INVALID, ("phones[1]",)),
    Case("stop a float on an unknown channel", "POST", "/api/stoplist/attach", {"phones": [NEW, 3.8e11], "types": ["fax"]}, 422, INVALID, ("phones[1]", "types")),
    Case("stop a bad phone on an unknown channel", "POST", "/api/stoplist/attach", {"phones": ["12"], "types": ["fax"]}, 422, INVALID, ("types[0]", "phones[0]")),
    Case("free 201 rows", "POST", "/api/stoplist/detach", {"ids": list(range(1, 202)), "types": ["sms"]}, 422, INVALID, ("ids",), told=("1 to 200",)),
    Case("free 0 rows", "POST", "/api/stoplist/detach", {"ids": [], "types": ["sms"]}, 422, INVALID, ("ids",)),
    Case("free on 0 channels", "POST", "/api/stoplist/detach", {"ids": ["{stop}"], "types": []}, 422, INVALID, ("types",)),
    Case("free on 5 channels", "POST", "/api/stoplist/detach", {"ids": ["{stop}"], "types": ["sms"] * 5}, 422, INVALID, ("types",)),
    Case("free on an unknown channel", "POST", "/api/stoplist/detach", {"ids": ["{stop}"], "types": ["SMS", "fax"]}, 422, INVALID, ("types[1]",)),
    Case("free nothing", "POST", "/api/stoplist/detach", {}, 422, INVALID, ("ids", "types")),
    *(Case(f"free the row {id!r}", "POST", "/api/stoplist/detach", {"ids": ["{stop}", id], "types": ["sms"]}, 422, INVALID, ("ids[1]",)) for id in [*NO_IDS, None, 1.5]),
    Case("an unknown channel", "GET", "/api/stoplist?type=fax", b"", 422, INVALID, ("type",)),
    Case("an unknown channel by its alias", "GET", "/api/stoplist?types=fax&page[limit]=5", b"", 422, INVALID, ("page[limit]", "type")),
    Case("the stopped of no list", "GET", "/api/stoplist/search?contact_group_id=x&sort=created_at", b"", 422, INVALID, ("sort", "contact_group_id")),
    Case("a wrong method on the stop list", "POST", "/api/stoplist", {}, 405, "This route does not take POST."),
]  # fmt: skip


def _paging(path: str) -> list[Case]:
    """Pages that no index and no search has."""
    return [
        Case(f"{path} a page of 14", "GET", f"{path}?page[limit]=14", b"", 422, INVALID, ("page[limit]",)),
        Case(f"{path} a page of 501", "GET", f"{path}?page[limit]=501", b"", 422, INVALID, ("page[limit]",)),
        Case(f"{path} a page of nothing", "GET", f"{path}?page[limit]=x&page[offset]=1.5&page[after]=-1", b"", 422, INVALID, ("page[offset]", "page[limit]", "page[after]")),
        Case(f"{path} after and offset", "GET", f"{path}?page[offset]=5&page[after]=5", b"", 422, INVALID, ("page[after]",)),
    ]  # fmt: skip


def _searching(path: str, *pairs: tuple[str, str], sorts: tuple[str, ...]) -> list[Case]:
    """Criteria and orders that a search does not have."""
    find = f"{path}?search[field]="
    return [
        *(Case(f"{path} by {field} {operator}", "GET", f"{find}{field}&search[operator]={operator}&search[value]=1", b"", 422, INVALID, ("search[operator]",)) for field, operator in pairs),
        *(Case(f"{path} by the operator {operator}", "GET", f"{find}id&search[operator]={operator}&search[value]=1", b"", 422, INVALID, ("search[operator]",)) for operator in ("!=", "<>", "in", "like", "LIKE", ";--")),
        *(Case(f"{path} by the field {field}", "GET", f"{find}{field}&search[value]=1", b"", 422, INVALID, ("search[field]",)) for field in ("color", "account_id", "stop_mask", "0", "-1", "999999", "1.5", "id'", "ID")),
        *(Case(f"{path} sorted by {sort}", "GET", f"{path}?sort={sort}", b"", 422, INVALID, ("sort",)) for sort in sorts),
        Case(f"{path} in an unknown way", "GET", f"{path}?sort=id&way=up", b"", 422, INVALID, ("way",)),
        Case(f"{path} by an id that is none", "GET", f"{find}id&search[value]=x", b"", 422, INVALID, ("search[value]",)),
        Case(f"{path} by a phone that is none", "GET", f"{find}phone&search[value]=x", b"", 422, INVALID, ("search[value]",)),
        Case(f"{path} by a part of a phone that is none", "GET", f"{find}phone&search[operator]=like&search[value]=1x", b"", 422, INVALID, ("search[value]",)),
        Case(f"{path} by a date that is none", "GET", f"{find}created_at&search[value]=2022-02-30", b"", 422, INVALID, ("search[value]",)),
        Case(f"{path} without a field", "GET", f"{path}?search_fields[4][value]=x", b"", 422, INVALID, ("search_fields[4][field]",)),
        Case(f"{path} without a value", "GET", f"{path}?search_fields[4][field]=id", b"", 422, INVALID, ("search_fields[4][value]",)),
        Case(f"{path} two bad criteria", "GET", f"{find}id&search[value]=x&search_fields[9][field]=phone&search_fields[9][operator]=>&search_fields[9][value]=1&page[limit]=1&way=up", b"", 422, INVALID, ("page[limit]", "search[value]", "search_fields[9][operator]", "way")),
        Case(f"{path} by 31 criteria", "GET", f"{path}?" + "&".join(f"search_fields[{n}][field]=id&search_fields[{n}][value]=1" for n in range(31)), b"", 422, INVALID, ("search_fields",), told=("30",)),
        Case(f"{path} by 1,000 criteria", "GET", f"{path}?" + "&".join(f"search_fields[{n}][field]=id&search_fields[{n}][value]=1" for n in range(1000)), b"", 422, INVALID, ("search_fields",)),
        Case(f"{path} after an unknown row", "GET", f"{path}?sort={'phone' if 'groups' not in path else 'name'}&page[after]=999999999", b"", 422, INVALID, ("page[after]",)),
    ]  # fmt: skip


SEARCH_CASES = [
    *(case for path in ("/api/contacts", "/api/contacts/search", "/api/stoplist", "/api/stoplist/search", "/api/groups/search") for case in _paging(path)),
    *_searching("/api/contacts/search", ("phone", ">"), ("group_id", "like"), ("group_id", ">"), ("created_at", "like"), ("date", "like"), ("{text}", ">"), ("{text}", "<="), ("{number}", "like"), ("{date}", "like"), sorts=("created_at", "date", "group_id", "name", "{text}", "color")),
    *_searching("/api/stoplist/search", ("phone", "<"), ("created_at", "like"), ("type", "like"), ("type", ">"), sorts=("created_at", "date", "type", "color")),
    *_searching("/api/groups/search", ("name", ">"), ("description", "<"), ("phone", ">="), ("items", "like"), ("created_at", "like"), sorts=("phone", "color", "is_default")),
    Case("search a list that is none", "GET", "/api/contacts/search?search[field]=group_id&search[value]=x", b"", 422, INVALID, ("search[value]",)),
    Case("search a number field by a word", "GET", "/api/contacts/search?search[field]={number}&search[value]=x", b"", 422, INVALID, ("search[value]",)),
    Case("search a date field by a word", "GET", "/api/contacts/search?search[field]={date}&search[value]=x", b"", 422, INVALID, ("search[value]",)),
    Case("search a text field by NUL", "GET", "/api/contacts/search?search[field]={text}&search[value]=%00", b"", 422, INVALID, ("search[value]",)),
    Case("search a field and a bad order", "GET", "/api/contacts/search?search[field]={text}&search[value]=x&sort=color", b"", 422, INVALID, ("sort",)),
    Case("search an unknown channel", "GET", "/api/stoplist/search?search[field]=type&search[value]=fax", b"", 422, INVALID, ("search[value]",)),
]  # fmt: skip

CASES += [*CONTACT_CASES, *MEMBER_CASES, *FIELD_CASES, *STOP_CASES, *SEARCH_CASES]


@pytest.mark.parametrize("case", CASES, ids=[case.title for case in CASES])
def test_a_bad_request_is_refused_and_changes_nothing(book: Book, case: Case) -> None:
    body = case.body if isinstance(case.body, bytes) else book.filled(json.dumps(case.body)).encode()
    headers = {"Content-Type": "application/json", **case.headers}
    answer = book.client.request(case.method, book.filled(case.path), content=body, headers=headers)
    assert answer.status_code == case.status, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    told = answer.json()
    assert list(told) == ["message", "errors"]
    assert told["message"].startswith(case.message)
    assert isinstance(told["errors"], list)
    assert [error["field"] for error in told["errors"]] == [book.filled(field) for field in case.fields]
    for error in told["errors"]:
        assert set(error) == {"field", "message"}
        assert error["message"].endswith(".")
        assert "must be ." not in error["message"]
    for part in case.told:
        assert part in " ".join(error["message"] for error in told["errors"])
    if case.status == 400 and case.body != b"":
        assert "byte" in told["message"] or "deeply" in told["message"]
    if case.method != "GET":
        assert everything(book.client) == book.before


class Book:
    """An account with some of everything.

    Attributes:
        ids: what the cases name in braces; `id` is that of a list.
        before: all that the account has.
    """

    def __init__(self, client: httpx.Client) -> None:
        self.client = client
        self.list_id = made_list(client, "Mine")["id"]
        text, number, date = (
            made_field(client, name, name.lower())["id"] for name in ("Text", "Number", "Date")
        )
        values = [{"id": text, "value": "Kyiv"}, {"id": number, "value": "7"}]
        big, full = made_list(client, "big")["id"], made_list(client, "full")["id"]
        many = upserted(
            client,
            [
                {"phone": PHONE + 1_000 + each, "groups": [big, full] if each else [big]}
                for each in range(5_001)
            ],
        )
        ids: dict[str, object] = {
            "id": self.list_id,
            "list": self.list_id,
            "taken_list": made_list(client, "Taken")["id"],
            "other_list": made_list(client, "Caf\u00e9")["id"],
            "big_list": big,
            "full_list": full,
            "contact": made_contact(client, 1, groups=[self.list_id], fields=values)["id"],
            "other": made_contact(client, 2)["id"],
            "text": text,
            "number": number,
            "date": date,
            "stop": stopped(client, 1, 3, types=("sms", "rcs"))[0]["id"],
            "many_ids": [each["id"] for each in many["results"]],
        }
        self.ids = {name: str(value) for name, value in ids.items()}
        self.before = everything(client)

    def filled(self, text: str) -> str:
        """A text with the ids of the book in place of `"{list}"` or `{list}`."""
        return filled(text, self.ids)


@pytest.fixture(scope="module")
def book(live: Live) -> Iterator[Book]:
    with live.client(live.new_key()) as client:
        yield Book(client)


def _token(secret: str, **claims: Any) -> str:
    now = int(time.time())
    return jwt.encode(
        {"iat": now, "exp": now + 600, "id": 1, "key": 1, "roles": ["admin"]} | claims, secret, "HS256"
    )


UNSIGNED = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').decode().rstrip("=")

REFUSED = {
    "no token": (None, "A bearer token is missing"),
    "an empty header": ("", "A bearer token is missing"),
    "another scheme": ("Basic YWxpY2U6c2VjcmV0", "The Authorization header must read"),
    "no token behind the scheme": ("Bearer", "The Authorization header must read"),
    "nonsense": ("Bearer nonsense", "The bearer token is not valid."),
    "three parts of nonsense": ("Bearer a.b.c", "The bearer token is not valid."),
    "a token signed by another": (f"Bearer {_token('x' * 40)}", "The bearer token is not valid."),
    "a token without a signature": (
        f"Bearer {UNSIGNED}.{_token('x' * 40).split('.')[1]}.",
        "The bearer token is not valid.",
    ),
    "a key that nobody has": (f"Bearer live_{'x' * 20}", "The API key is unknown or was revoked."),
    "a test key that nobody has": (f"Bearer test_{'x' * 20}", "The API key is unknown or was revoked."),
    "not ASCII": ("Bearer \u00fc\u00f6", "The bearer token is not valid."),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=list(REFUSED))
def test_a_caller_who_is_not_known_is_refused(live: Live, book: Book, case: tuple[str | None, str]) -> None:
    authorization, message = case
    headers = {b"Content-Type": b"application/json"}
    if authorization is not None:
        headers[b"Authorization"] = authorization.encode()
    with httpx.Client(base_url=live.service.url, headers=headers) as stranger:
        for route in ROUTES:
            if route.right is None:
                continue
            body = BODIES.get((route.method, route.path))
            content = book.filled(json.dumps(body)).encode() if body is not None else None
            answer = stranger.request(route.method, book.filled(route.path), content=content)
            assert answer.status_code == 401, (route.path, answer.text)
            assert answer.json()["message"].startswith(message)
            assert answer.json()["errors"] == []
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert everything(book.client) == book.before


def test_a_key_that_may_only_read_changes_nothing(live: Live) -> None:
    account = live.new_account()
    with live.client(live.new_key(account)) as owner, live.client(live.new_key(account, ["read"])) as reader:
        ids = made_book(owner)
        before = everything(owner)
        for route in ROUTES:
            if not route.right:
                continue
            path = route.path.replace("{id}", str(ids[noun_of(route.path)]))
            body = json.loads(filled(json.dumps(BODIES.get((route.method, route.path))), ids))
            answer = reader.request(route.method, path, json=body)
            assert answer.status_code == (200 if route.right == "read" else 403), (path, answer.text)
        assert everything(owner) == before


def test_a_wrong_method_says_which_are_right(book: Book) -> None:
    answer = book.client.patch("/api/groups")
    assert set(answer.headers["Allow"].split(", ")) >= {"GET", "POST"}


def test_a_request_that_is_not_http_gets_the_one_form_of_errors(live: Live) -> None:
    host, port = live.service.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(b"GET / SPDY/9\r\n\r\n")
        answer = connection.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"x-request-id: " in answer
    assert json.loads(answer.split(b"\r\n\r\n")[1]) == {
        "message": "Invalid HTTP request received.",
        "errors": [],
    }


def test_a_target_of_256_kib_is_read_to_its_end(book: Book) -> None:
    padding = "&".join(f"groups[]={number}" for number in range(20_000))  # not a parameter there
    padding = padding[: 256 * 1024 - 200]
    status, answer = _get(book, f"/api/groups?{padding}&page[limit]=15&page[offset]=1")
    assert status == 200
    assert len(answer["data"]) == answer["total"] - 1


def test_a_target_beyond_the_limit_is_refused(book: Book) -> None:
    status, answer = _get(book, f"/api/groups?{'x' * 600_000}")
    assert status == 400
    assert answer["errors"] == []


def _get(book: Book, target: str) -> tuple[int, Any]:
    """GET a target that is too long for httpx."""
    connection = http.client.HTTPConnection(book.client.base_url.netloc.decode())
    connection.request("GET", target, headers={"Authorization": book.client.headers["Authorization"]})
    answer = connection.getresponse()
    found = answer.status, json.loads(answer.read())
    connection.close()
    return found
