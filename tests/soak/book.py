"""What an account must have after everything that it was answered, and what it has."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx

CHANNELS = ("sms", "viber", "rcs", "whatsapp")
COUNTED = {"sms", "viber"}
"""Channels that make a contact count into `stop_list_count`."""


@dataclass
class Book:
    """The contacts, lists and stops of an account.

    Args:
        contacts: the phones that are in the book.
        members: for the name of each list the phones in it.
        stops: for each stopped phone its channels.
    """

    contacts: set[int] = field(default_factory=set)
    members: dict[str, set[int]] = field(default_factory=dict)
    stops: dict[int, set[str]] = field(default_factory=dict)

    def copy(self) -> Book:
        """A book of its own with the same content."""
        return copy.deepcopy(self)

    def make(self, name: str) -> None:
        """Make a list."""
        self.members[name] = set()

    def drop(self, name: str) -> None:
        """Delete a list; its contacts stay."""
        del self.members[name]

    def stop(self, phones: Iterator[int] | list[int], channels: list[str]) -> None:
        """Stop phones."""
        for phone in phones:
            self.stops.setdefault(phone, set()).update(channels)

    def release(self, phone: int, channels: list[str]) -> None:
        """Let a phone go."""
        left = self.stops.pop(phone, set()) - set(channels)
        if left:
            self.stops[phone] = left

    def delete(self, phone: int) -> None:
        """Delete a contact; its stops stay."""
        self.contacts.discard(phone)
        for members in self.members.values():
            members.discard(phone)

    def counts(self) -> dict[str, tuple[int, int]]:
        """`items` and `stop_list_count` of each list."""
        counted = {phone for phone, channels in self.stops.items() if channels & COUNTED}
        return {name: (len(phones), len(phones & counted)) for name, phones in self.members.items()}


@dataclass
class Kept:
    """A book as the service has it, with the ids that it gave."""

    book: Book = field(default_factory=Book)
    counts: dict[str, tuple[int, int]] = field(default_factory=dict)
    contact_ids: dict[int, int] = field(default_factory=dict)
    list_ids: dict[str, int] = field(default_factory=dict)
    stop_ids: dict[int, int] = field(default_factory=dict)
    doubled: list[str] = field(default_factory=list)


def kept(api: httpx.Client) -> Kept:
    """Read an account's whole book: its lists, the contacts with their lists, the stop list."""
    found = Kept()
    after: int | None = 0
    while after is not None:
        page = _ok(api.get("/api/groups", params={"page[limit]": 500, "page[after]": after})).json()
        for row in page["data"]:
            if row["name"] in found.list_ids:
                found.doubled.append(f"list {row['name']}")
            found.list_ids[row["name"]] = row["id"]
            found.counts[row["name"]] = (row["items"], row["stop_list_count"])
            found.book.members[row["name"]] = set()
        after = page["next"]
    for row in _rows(api, "/api/contacts/export", with_lists="true"):
        phone = int(row["phone"])
        if phone in found.book.contacts:
            found.doubled.append(f"contact {phone}")
        found.book.contacts.add(phone)
        found.contact_ids[phone] = row["id"]
        for name in row["lists"] or ():
            found.book.members.setdefault(name, set()).add(phone)
    for row in _rows(api, "/api/stoplist/export", columns="phone,channels,id"):
        phone = int(row["phone"])
        if phone in found.book.stops:
            found.doubled.append(f"stop {phone}")
        found.book.stops[phone] = set(row["channels"].split(","))
        found.stop_ids[phone] = row["id"]
    return found


def differences(must: Book, has: Kept) -> list[str]:
    """What the service lost, doubled, made up or counted wrong; nothing when all is well."""
    said = [f"doubled: {what}" for what in has.doubled]
    said += _sets("contact", must.contacts, has.book.contacts)
    said += _sets("list", set(must.members), set(has.book.members))
    for name in set(must.members) & set(has.book.members):
        said += _sets(f"member of {name}", must.members[name], has.book.members[name])
    stops = {(phone, channel) for phone, channels in must.stops.items() for channel in channels}
    there = {(phone, channel) for phone, channels in has.book.stops.items() for channel in channels}
    said += _sets("stop", stops, there)
    counts = has.book.counts()
    said += [
        f"count of {name}: {has.counts[name]}, but {counts[name]} are there"
        for name in has.counts
        if has.counts[name] != counts[name]
    ]
    return said


def _sets(what: str, must: set[Any], has: set[Any]) -> list[str]:
    lost, made_up = sorted(must - has), sorted(has - must)
    said = [f"lost: {what} {lost[:5]} ({len(lost)})"] if lost else []
    return said + ([f"not asked for: {what} {made_up[:5]} ({len(made_up)})"] if made_up else [])


def _rows(api: httpx.Client, path: str, **params: str) -> list[Any]:
    answer = _ok(api.get(path, params={"format": "jsonl", **params}))
    return [json.loads(line) for line in answer.text.splitlines()]


def _ok(answer: httpx.Response) -> httpx.Response:
    if answer.status_code != 200:
        raise NotNow(answer)
    return answer


class NotNow(Exception):
    """The service would not answer; ask again."""

    def __init__(self, answer: httpx.Response) -> None:
        super().__init__(
            f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text[:200]}"
        )
        self.status = answer.status_code
