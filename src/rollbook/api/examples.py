"""Examples of requests and answers, for the OpenAPI document."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from rollbook.api import (
    auth,
    batches,
    contacts,
    exports,
    fields,
    imports,
    lists,
    members,
    numbers,
    stop_list,
    wire,
)

_TOKEN = auth.Token("eyJhbGciOiJIUzI1NiJ9.eyJpZCI6MX0.c2lnbmF0dXJl")
_ABOUT = "Everyone who ordered this year"
_NEW = lists.ContactListJson(1, "Customers", _ABOUT, False, "2022-04-28 14:21:16", 0, 0)
_LIST = msgspec.structs.replace(_NEW, items=1280, stop_list_count=37)
_FOUND = lists.FoundList(1, "Customers", _ABOUT, False, 1280, "2022-04-28 14:21:16")
_META = wire.Meta(wire.MetaPage(1, lists.LIMIT, 0, None), wire.MetaSearch("name", "like", "cust"))

_CONTACT = contacts.ContactJson(
    7, 380000000001, {"3": "Kyiv"}, [_LIST], contacts.HLR_STATUS, None, "2022-04-28 14:21:16"
)
_CONTACT_META = wire.Meta(
    wire.MetaPage(1, contacts.LIMIT, 0, None), wire.MetaSearch("phone", "like", "38000")
)
_FIELD = fields.FieldJson(3, "City", "text", "Where the contact lives", True)
_STOP = stop_list.StopRow(5, 380000000001, "2022-04-28 14:21:16", True, True, False, False)
_STOP_META = wire.Meta(wire.MetaPage(1, stop_list.LIMIT, 0, None), wire.MetaSearch("type", "=", "sms"))
_ITEMS = [
    batches.Item(0, "created", 7, 380000000001, None, None),
    batches.Item(1, "invalid", None, None, None, "The phone is too short."),
]
_STATS = {
    channel: lists.ChannelStats(stopped, 1280 - stopped)
    for channel, stopped in {"sms": 30, "viber": 12, "rcs": 0, "whatsapp": 4}.items()
}

_IMPORT = imports.EXAMPLE

BODIES: Mapping[Callable[..., Any], msgspec.Struct] = {
    lists.update: lists.ListUpdate("Regular customers", None),
    contacts.update: contacts.ContactUpdate(380000000002, [1], [{"id": 3, "value": None}]),
    contacts.delete_many: contacts.ContactsDelete([7, 8]),
    fields.update: fields.FieldUpdate("Town"),
    stop_list.remove: stop_list.StopsRemove([5], ["viber"]),
    exports.count_audience: exports.AudienceBody([1], reachable=["viber"]),
    exports.of_audience: exports.AudienceBody([1], reachable=["viber"]),
}
"""Bodies whose members cannot all be combined; for all other handlers see `of_body`."""


def of_body(handler: Callable[..., Any], kind: type[msgspec.Struct]) -> Any:
    """An example of the body of a handler: each member has the example of its Struct."""
    if handler in BODIES:
        return BODIES[handler]
    schema = msgspec.json.schema(kind)["$defs"][kind.__name__]
    return {name: _example(member) for name, member in schema["properties"].items()}


def _example(member: Mapping[str, Any]) -> Any:
    return member["examples"][0] if "examples" in member else member["default"]


ANSWERS: Mapping[Callable[..., Any], msgspec.Struct] = {
    auth.login: _TOKEN,
    auth.refresh: _TOKEN,
    lists.create: lists.OneList(_NEW),
    lists.index: lists.ListIndex([_LIST], 1, None),
    lists.search: lists.ListSearch([_FOUND], _META),
    lists.get: lists.OneList(_LIST),
    lists.update: lists.OneList(msgspec.structs.replace(_LIST, name="Regular customers", description=None)),
    lists.stats: lists.OneStats(lists.ListStats(1, 1280, 37, _STATS)),
    members.attach: wire.Nothing(),
    members.detach: wire.Nothing(),
    members.add: batches.batch_of(_ITEMS),
    contacts.create: contacts.OneContact(_CONTACT),
    contacts.index: contacts.ContactIndex([_CONTACT], 1, None),
    contacts.search: contacts.ContactSearch([_CONTACT], _CONTACT_META),
    contacts.get: contacts.OneContact(_CONTACT),
    contacts.update: contacts.OneContact(msgspec.structs.replace(_CONTACT, phone=380000000002, fields=[])),
    contacts.upsert: batches.batch_of([msgspec.structs.replace(_ITEMS[0], reference="row 1")]),
    fields.create: fields.OneField(_FIELD),
    fields.index: fields.FieldIndex([_FIELD]),
    fields.update: fields.OneField(msgspec.structs.replace(_FIELD, name="Town")),
    stop_list.add: stop_list.StopRows([_STOP]),
    stop_list.remove: wire.Nothing(),
    stop_list.upsert: stop_list.StopsBatch(
        stop_list.StopsSummary(
            1,
            0,
            0,
            0,
            [stop_list.StoppedItem(0, "created", 5, 380000000001, ["sms", "viber"], "row 1", None)],
        )
    ),
    stop_list.release: stop_list.ReleaseBatch(
        stop_list.ReleaseSummary(
            1, 0, 0, [stop_list.ReleasedItem(0, "released", None, 380000000001, [], None, None)]
        )
    ),
    stop_list.index: stop_list.StopIndex([_STOP], 1, None),
    stop_list.search: stop_list.StopSearch([_STOP], _STOP_META),
    numbers.check: numbers.EXAMPLE,
    exports.count_audience: exports.OneCount(exports.Count(1243)),
    exports.of_person: exports.OnePerson(exports.EXAMPLE),
    imports.start: imports.OneImport(imports.EXAMPLE_WAITING),
    imports.index: imports.ImportIndex([_IMPORT], None),
    imports.get: imports.OneImport(_IMPORT),
    imports.cancel: imports.OneImport(msgspec.structs.replace(_IMPORT, state="merging", outcome=None)),
    imports.confirm: imports.OneImport(
        msgspec.structs.replace(_IMPORT, state="merging", outcome=None, mode="replace")
    ),
    imports.undo: imports.OneImport(msgspec.structs.replace(_IMPORT, state="undoing", outcome=None)),
}
"""An example of the answer of each handler."""

FILE = "phone,City\n380000000001,Kyiv\n"
"""A file to import."""
