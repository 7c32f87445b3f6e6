"""What the address book should do, in plain Python: dicts and sets, nothing of the implementation.

A `Book` is one account. Each method does what the core function of the same name should do: it changes the
book and returns the answer, with every Struct as a dict and every moment as `WHEN`; or it raises `Refused`.
Ids come from outside: `ids` gives those that the implementation chose.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Any

WHEN = "when it was made"
CHANNELS = ("sms", "viber", "rcs", "whatsapp")
BITS = {"sms": 1, "viber": 2, "rcs": 4, "whatsapp": 8}

Ids = Iterator[int]
Values = Mapping[int, str | None]
Answer = dict[str, Any]


class Refused(Exception):
    """The call is refused, and nothing was changed. `what` is the name of the error and what it names."""

    def __init__(self, *what: object) -> None:
        super().__init__(*what)
        self.what = what


@dataclass
class List:
    """A contact list."""

    name: str
    description: str | None
    is_default: bool


@dataclass
class Person:
    """A contact."""

    phone: int
    lists: set[int] = field(default_factory=set)
    values: dict[int, str] = field(default_factory=dict)


@dataclass
class Field:
    """A contact field."""

    name: str
    type: str
    description: str | None
    is_visible: bool


@dataclass
class Stop:
    """A row of the stop list."""

    id: int
    channels: set[str]


@dataclass(frozen=True)
class Wanted:
    """A contact that a caller hands in."""

    phone: int | None
    list_ids: tuple[int, ...] = ()
    values: tuple[tuple[int, str | None], ...] = ()


@dataclass(frozen=True)
class Look:
    """A search: `criteria` are (field, operator, value), `after` and `offset` as callers give them."""

    criteria: tuple[tuple[str, str, str], ...] = ()
    sort: str = "id"
    descending: bool = True
    limit: int = 50
    offset: int = 0
    after: int | None = None


class Book:
    """An account's lists, contacts, fields and stops.

    Args:
        born: when things were made, by kind and id; the test learns it from the first answer.
    """

    def __init__(self, born: Mapping[tuple[str, int], datetime]) -> None:
        self.born = born
        self.lists: dict[int, List] = {}
        self.people: dict[int, Person] = {}
        self.fields: dict[int, Field] = {}
        self.stops: dict[int, Stop] = {}
        self.leftovers: set[tuple[str, int]] = set()

    def wipe(self) -> int:
        how_many = len(self.lists)
        for each in (self.lists, self.people, self.fields, self.stops, self.leftovers):
            each.clear()
        return how_many

    # Lists

    def create_list(self, name: str, description: str | None, is_default: bool, ids: Ids) -> Answer:
        if any(each.name == name for each in self.lists.values()):
            raise Refused("AlreadyExists", "list")
        if is_default:
            self._no_default()
        id = next(ids)
        self.lists[id] = List(name, description, is_default)
        return self.show_list(id)

    def update_list(self, id: int, changes: Mapping[str, Any]) -> Answer:
        if id not in self.lists:
            raise Refused("NotFound", "list")
        if any(each.name == changes.get("name") for other, each in self.lists.items() if other != id):
            raise Refused("AlreadyExists", "list")
        if changes.get("is_default"):
            self._no_default()
        for name, value in changes.items():
            setattr(self.lists[id], name, value)
        return self.show_list(id)

    def delete_list(self, id: int, *, chunk_rows: int) -> None:
        if id not in self.lists:
            raise Refused("NotFound", "list")
        if len(self.members(id)) > chunk_rows:
            self.leftovers.add(("list", id))
        del self.lists[id]
        for person in self.people.values():
            person.lists.discard(id)

    def _no_default(self) -> None:
        for each in self.lists.values():
            each.is_default = False

    def members(self, list_id: int) -> list[int]:
        return [id for id, person in self.people.items() if list_id in person.lists]

    def stopped(self, list_id: int, channels: Collection[str]) -> int:
        """How many members are stopped on any of some channels."""
        phones = (self.people[id].phone for id in self.members(list_id))
        return sum(bool(self.channels(phone) & set(channels)) for phone in phones)

    def show_list(self, id: int) -> Answer:
        if id not in self.lists:
            raise Refused("NotFound", "list")
        each = self.lists[id]
        return {
            "id": id,
            "name": each.name,
            "description": each.description,
            "is_default": each.is_default,
            "created_at": WHEN,
            "items": len(self.members(id)),
            "stop_list_count": self.stopped(id, ("sms", "viber")),
        }

    def stats(self, id: int) -> Answer:
        shown = self.show_list(id)
        return {
            "id": id,
            "items": shown["items"],
            "stop_list_count": shown["stop_list_count"],
            **{f"{channel}_stopped": self.stopped(id, (channel,)) for channel in CHANNELS},
        }

    # Contacts

    def show_contact(self, id: int) -> Answer:
        if id not in self.people:
            raise Refused("NotFound", "contact")
        person = self.people[id]
        return {
            "id": id,
            "phone": person.phone,
            "created_at": WHEN,
            "lists": [self.show_list(list_id) for list_id in sorted(person.lists, reverse=True)],
            "values": dict(person.values),
        }

    def of_phone(self, phone: int) -> int | None:
        return next((id for id, person in self.people.items() if person.phone == phone), None)

    def create_contact(self, wanted: Wanted, ids: Ids) -> Answer:
        assert wanted.phone is not None
        values = self._checked(wanted)
        if self.of_phone(wanted.phone) is not None:
            raise Refused("AlreadyExists", "contact")
        id = next(ids)
        self.people[id] = Person(wanted.phone)
        self._extend(id, wanted, values)
        return self.show_contact(id)

    def create_contacts(self, wanted: Sequence[Wanted], ids: Ids) -> list[Answer | tuple[object, ...]]:
        outcomes = [answer_or_refusal(partial(self.create_contact, each, ids)) for each in wanted]
        # Shown as they are when all of them are there.
        return [self.show_contact(each["id"]) if isinstance(each, dict) else each for each in outcomes]

    def update_contact(self, id: int, wanted: Wanted) -> Answer:
        if id not in self.people:
            raise Refused("NotFound", "contact")
        values = self._checked(wanted)
        if wanted.phone is not None:
            if self.of_phone(wanted.phone) not in (None, id):
                raise Refused("AlreadyExists", "contact")
            self.people[id].phone = wanted.phone
        self._extend(id, wanted, values)
        return self.show_contact(id)

    def delete_contact(self, id: int) -> None:
        if id not in self.people:
            raise Refused("NotFound", "contact")
        del self.people[id]

    def delete_contacts(self, contact_ids: Sequence[int], list_ids: Sequence[int]) -> int:
        gone = {id for id in contact_ids if id in self.people}
        gone |= {id for id, person in self.people.items() if person.lists & set(list_ids)}
        for id in gone:
            del self.people[id]
        return len(gone)

    def upsert(self, wanted: Sequence[Wanted], ids: Ids) -> list[Answer | tuple[object, ...]]:
        taken: set[int] = set()

        def one(each: Wanted) -> Answer:
            assert each.phone is not None
            values = self._checked(each)
            if each.phone in taken:
                raise Refused("Invalid")
            taken.add(each.phone)
            id = self.of_phone(each.phone)
            if id is None:
                id = next(ids)
                self.people[id] = Person(each.phone)
                self._extend(id, each, values)
                return {"id": id, "result": "created"}
            before = (set(self.people[id].lists), dict(self.people[id].values))
            self._extend(id, each, values)
            same = before == (self.people[id].lists, self.people[id].values)
            return {"id": id, "result": "unchanged" if same else "updated"}

        return [answer_or_refusal(partial(one, each)) for each in wanted]

    def add_phones(self, list_id: int, phones: Sequence[int], ids: Ids) -> list[Answer | tuple[object, ...]]:
        if list_id not in self.lists:
            raise Refused("NotFound", "list")
        return self.upsert([Wanted(phone, (list_id,)) for phone in phones], ids)

    def attach(self, contact_ids: Sequence[int], list_ids: Sequence[int]) -> None:
        self._all_known(contact=(contact_ids, self.people), list=(list_ids, self.lists))
        for id in contact_ids:
            self.people[id].lists |= set(list_ids)

    def detach(self, contact_ids: Sequence[int], list_ids: Sequence[int]) -> None:
        self._all_known(contact=(contact_ids, self.people), list=(list_ids, self.lists))
        for id in contact_ids:
            self.people[id].lists -= set(list_ids)

    def _all_known(self, **nouns: tuple[Collection[int], Collection[int]]) -> None:
        unknown = {noun: sorted(set(named) - set(known)) for noun, (named, known) in nouns.items()}
        if any(unknown.values()):
            raise Refused("UnknownIds", {noun: ids for noun, ids in unknown.items() if ids})

    def _known(self, wanted: Wanted) -> None:
        self._all_known(
            list=(wanted.list_ids, self.lists), field=([id for id, _ in wanted.values], self.fields)
        )

    def _checked(self, wanted: Wanted) -> dict[int, str | None]:
        self._known(wanted)
        try:
            return {id: kept(self.fields[id].type, text) for id, text in wanted.values}
        except ValueError:
            raise Refused("Invalid") from None

    def _extend(self, id: int, wanted: Wanted, values: Mapping[int, str | None]) -> None:
        person = self.people[id]
        person.lists |= set(wanted.list_ids)
        for field_id, value in values.items():
            if value is None:
                person.values.pop(field_id, None)
            else:
                person.values[field_id] = value

    # Fields

    def create_field(self, new: Field, ids: Ids) -> Answer:
        if any(each.name == new.name for each in self.fields.values()):
            raise Refused("AlreadyExists", "field")
        id = next(ids)
        self.fields[id] = new
        return self.show_field(id)

    def update_field(self, id: int, changes: Mapping[str, Any]) -> Answer:
        if id not in self.fields:
            raise Refused("NotFound", "field")
        if any(each.name == changes.get("name") for other, each in self.fields.items() if other != id):
            raise Refused("AlreadyExists", "field")
        for name, value in changes.items():
            setattr(self.fields[id], name, value)
        return self.show_field(id)

    def delete_fields(self, ids: Sequence[int]) -> None:
        for id in set(ids) & set(self.fields):
            del self.fields[id]
            self.leftovers.add(("field", id))
            for person in self.people.values():
                person.values.pop(id, None)

    def show_field(self, id: int) -> Answer:
        each = self.fields[id]
        return {
            "id": id,
            "name": each.name,
            "type": each.type,
            "description": each.description,
            "is_visible": each.is_visible,
        }

    # Stops

    def channels(self, phone: int) -> set[str]:
        return self.stops[phone].channels if phone in self.stops else set()

    def stop(self, phones: Sequence[int], channels: Collection[str], ids: Ids) -> list[Answer]:
        for phone in dict.fromkeys(phones):
            if phone not in self.stops:
                self.stops[phone] = Stop(next(ids), set())
            self.stops[phone].channels |= set(channels)
        return [self.stop_row(phone) for phone in dict.fromkeys(phones)]

    def unstop(self, ids: Collection[int], channels: Collection[str]) -> None:
        for phone, row in list(self.stops.items()):
            if row.id in ids:
                row.channels -= set(channels)
                if not row.channels:
                    del self.stops[phone]

    def stop_each(self, some: Sequence[tuple[int, Collection[str]]], ids: Ids) -> list[Answer]:
        steps = []
        for phone, channels in some:
            before = self.mask(phone)
            self.stop([phone], channels, ids)
            steps.append((phone, before, self.mask(phone)))
        return self.steps(steps)

    def release_each(self, some: Sequence[tuple[int, Collection[str]]]) -> list[Answer]:
        steps, rows = [], {phone: row.id for phone, row in self.stops.items()}
        for phone, channels in some:
            before = self.mask(phone)
            self.unstop([rows.get(phone, -1)], channels)
            steps.append((phone, before, self.mask(phone)))
        return self.steps(steps)

    def steps(self, steps: Sequence[tuple[int, int, int]]) -> list[Answer]:
        def id_of(phone: int) -> int | None:
            return self.stops[phone].id if phone in self.stops else None

        return [{"id": id_of(phone), "before": before, "after": after} for phone, before, after in steps]

    def mask(self, phone: int) -> int:
        return sum(BITS[channel] for channel in self.stops[phone].channels) if phone in self.stops else 0

    def stop_row(self, phone: int) -> Answer:
        row = self.stops[phone]
        mask = sum(BITS[channel] for channel in row.channels)
        return {"id": row.id, "phone": phone, "mask": mask, "created_at": WHEN}

    # The whole of it

    def facts(self) -> list[tuple[str, int, int, str]]:
        """Everything as a noun, an id, another id or phone, and the counts or text that stand with it."""

        def kept(shown: Answer) -> str:
            return " ".join(str(count) for name, count in shown.items() if name != "id")

        found = [("list", id, 0, kept(self.stats(id))) for id in self.lists]
        for id, person in self.people.items():
            mask = sum(BITS[channel] for channel in self.channels(person.phone))
            found.append(("contact", id, person.phone, str(mask)))
            found += [("member", list_id, id, "") for list_id in person.lists]
            found += [("value", field_id, id, value) for field_id, value in person.values.items()]
        found += [("field", id, 0, each.name) for id, each in self.fields.items()]
        found += [
            ("stop", row.id, phone, str(self.stop_row(phone)["mask"])) for phone, row in self.stops.items()
        ]
        found += [("leftover", id, 0, kind) for kind, id in self.leftovers]
        stops = [sum(channel in row.channels for row in self.stops.values()) for channel in CHANNELS]
        found.append(("account", 0, 0, " ".join(map(str, [len(self.people), len(self.stops), *stops]))))
        return found

    def everything(self) -> Answer:
        """All that readers show, newest first (fields oldest first)."""
        newest = sorted(self.lists, reverse=True)
        phone_of = {row.id: phone for phone, row in self.stops.items()}
        return {
            "lists": [self.show_list(id) for id in newest],
            "stats": [self.stats(id) for id in newest],
            "contacts": [self.show_contact(id) for id in sorted(self.people, reverse=True)],
            "fields": [self.show_field(id) for id in sorted(self.fields)],
            "stops": [self.stop_row(phone_of[id]) for id in sorted(phone_of, reverse=True)],
            "drift": [],
            "found_in_deleted_lists": 0,
        }

    # Searches

    def find_contacts(self, look: Look) -> Answer:
        for name, operator, value in look.criteria:
            if name.isdigit():
                if int(name) not in self.fields:
                    raise Refused("Invalid")
                type = self.fields[int(name)].type
                if operator not in (("like", "=") if type == "text" else ("=", ">", ">=", "<", "<=")):
                    raise Refused("Invalid")
                if type != "text" and not fits(type, value):
                    raise Refused("Invalid")

        def holds(id: int, name: str, operator: str, value: str) -> bool:
            person = self.people[id]
            if name == "id":
                return compare(id, operator, int(value))
            if name == "phone":
                return value in str(person.phone) if operator == "like" else person.phone == int(value)
            if name == "group_id":
                return int(value) in person.lists
            if name == "created_at":
                return compare(self.born["contact", id], operator, moment(value))
            there = person.values.get(int(name))
            if there is None:
                return False
            type = self.fields[int(name)].type
            if operator == "like":
                return folded(value) in folded(there)
            return compare(order(type, there), operator, order(type, value))

        rows = [id for id in self.people if all(holds(id, *each) for each in look.criteria)]
        place = {"id": lambda row: (row,), "phone": lambda row: (self.people[row].phone, row)}[look.sort]
        return self._page(rows, look, place, self.people, self.show_contact)

    def of_lists(self, list_ids: Sequence[int], look: Look) -> Answer:
        rows = [id for id, person in self.people.items() if person.lists & set(list_ids)]
        return self._page(rows, look, lambda row: (row,), self.people, self.show_contact)

    def find_stops(self, look: Look, list_id: int | None) -> Answer:
        phones = {row.id: phone for phone, row in self.stops.items()}

        def holds(id: int, name: str, operator: str, value: str) -> bool:
            if name == "id":
                return compare(id, operator, int(value))
            if name == "phone":
                return value in str(phones[id]) if operator == "like" else phones[id] == int(value)
            if name == "created_at":
                return compare(self.born["stop", id], operator, moment(value))
            return value in self.channels(phones[id])

        rows = [id for id in phones if all(holds(id, *each) for each in look.criteria)]
        if list_id is not None:
            inside = {person.phone for person in self.people.values() if list_id in person.lists}
            rows = [id for id in rows if phones[id] in inside]
        place = {"id": lambda row: (row,), "phone": lambda row: (phones[row], row)}[look.sort]
        return self._page(rows, look, place, phones, lambda row: self.stop_row(phones[row]))

    def find_lists(self, look: Look) -> Answer:
        def holds(id: int, name: str, operator: str, value: str) -> bool:
            shown = self.show_list(id)
            if name == "phone":
                phones = [self.people[member].phone for member in self.members(id)]
                return any(
                    value in str(each) if operator == "like" else each == int(value) for each in phones
                )
            if name == "name":
                return folded(value) in folded(shown[name]) if operator == "like" else shown[name] == value
            return compare(shown[name], operator, int(value))

        rows = [id for id in self.lists if all(holds(id, *each) for each in look.criteria)]

        def place(id: int) -> tuple[Any, ...]:
            return (id,) if look.sort == "id" else (self.show_list(id)[look.sort], id)

        return self._page(rows, look, place, self.lists, self.show_list)

    def _page(
        self,
        rows: list[int],
        look: Look,
        place: Callable[[int], tuple[Any, ...]],
        known: Collection[int],
        show: Callable[[int], Answer],
    ) -> Answer:
        rows.sort(key=place, reverse=look.descending)
        total = len(rows)
        if look.after is not None:
            if look.sort == "id":
                rows = [id for id in rows if (id < look.after if look.descending else id > look.after)]
            elif look.after not in known:
                raise Refused("Invalid")
            else:
                here = place(look.after)
                rows = [id for id in rows if (place(id) < here if look.descending else place(id) > here)]
        rest = rows[look.offset :]
        shown = rest[: look.limit]
        following = shown[-1] if len(rest) > look.limit else None
        return {"rows": [show(id) for id in shown], "total": total, "next": following}


def answer_or_refusal(call: Callable[[], Answer]) -> Answer | tuple[object, ...]:
    try:
        return call()
    except Refused as refused:
        return refused.what


def kept(type: str, text: str | None) -> str | None:
    """A value as it is shown; `None` for none. Raises ValueError when its type has no such value."""
    if text is None or not text.strip():
        return None
    if type == "text":
        if len(text) > 255:
            raise ValueError
        return unicodedata.normalize("NFC", text)
    if type == "number":
        if not re.fullmatch(r"[+-]?[0-9]*(\.[0-9]+)?", text.strip()) or not re.search("[0-9]", text):
            raise ValueError
        shown = format(Decimal(text.strip()), "f")
        if "." in shown:
            shown = shown.rstrip("0").rstrip(".")
        return "0" if shown in ("-0", "+0") else shown
    when = moment(text.strip())
    return when.strftime(
        "%Y-%m-%d" if (when.hour, when.minute, when.second) == (0, 0, 0) else "%Y-%m-%d %H:%M:%S"
    )


def fits(type: str, text: str) -> bool:
    try:
        return kept(type, text) is not None
    except ValueError:
        return False


def order(type: str, value: str) -> Any:
    if type == "number":
        return Decimal(value.strip())
    return moment(value.strip()) if type == "date" else unicodedata.normalize("NFC", value)


def moment(text: str) -> datetime:
    if not re.match("[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        raise ValueError
    when = datetime.fromisoformat(text)
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)


def folded(text: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())


def compare(left: Any, operator: str, right: Any) -> bool:
    return bool(
        {
            "=": left == right,
            ">": left > right,
            ">=": left >= right,
            "<": left < right,
            "<=": left <= right,
        }[operator]
    )
