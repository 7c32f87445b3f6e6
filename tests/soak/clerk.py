"""A client that keeps a book: it does one thing after another and writes down what was acknowledged."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx

from tests.calls import PHONE
from tests.soak.book import CHANNELS, Book, Kept, NotNow, differences, kept

PHONES = 3_000
"""Different phones that a clerk has to do with."""

LISTS_MAX = 12
LOOK_EVERY = 60
"""Acts after which the whole book is compared."""

REFUSED_FOR_NOW = {429, 503, 507}
BACK_SECONDS_MAX = 120.0
"""How long the service may be away, killed or not."""

Change = Callable[[Book], None]


class Clerk(threading.Thread):
    """One account's client.

    Args:
        connect: makes an HTTP client for this account's key.
        first: of its own range of phones.
    """

    def __init__(
        self, name: str, connect: Callable[[], httpx.Client], first: int, over: threading.Event
    ) -> None:
        super().__init__(name=name, daemon=True)
        self.acts: Counter[str] = Counter()
        self.faults: list[str] = []
        self.slowest_export = 0.0
        self._connect = connect
        self._api = connect()
        self._first = PHONE + first
        self._random = random.Random(name)
        self._over = over
        self._must = Book()
        self._ids = Kept()
        self._lists_made = 0

    def run(self) -> None:
        """Act until it is over, then compare the book a last time."""
        while not self._over.is_set():
            try:
                for _ in range(LOOK_EVERY):
                    if self._over.is_set():
                        break
                    self._act()
                self.compare()
            except Exception as error:
                self.faults.append(f"{self.name}: {type(error).__name__}: {error}")
                time.sleep(1)

    def compare(self) -> None:
        """Compare the book with what was acknowledged; go on from what is there."""
        has = self._patiently(self._kept)
        self.faults += [f"{self.name}: {fault}" for fault in differences(self._must, has)]
        self._ids, self._must = has, has.book.copy()
        self.acts["comparisons"] += 1

    # What it does

    def _act(self) -> None:
        acts = {
            self._make_list: 2,
            self._delete_list: 1,
            self._make_contact: 4,
            self._upsert: 2,
            self._attach: 3,
            self._detach: 2,
            self._delete_contact: 2,
            self._stop: 6,
            self._release: 3,
            self._import: 1,
            self._import_stops: 1,
        }
        self._random.choices(list(acts), list(acts.values()))[0]()

    def _make_list(self) -> None:
        if len(self._must.members) < LISTS_MAX:
            self._lists_made += 1
            name = f"{self.name} list {self._lists_made}"
            self._do("POST", "/api/groups", {"name": name}, lambda book: book.make(name))

    def _delete_list(self) -> None:
        if len(self._must.members) > LISTS_MAX // 2 and (name := self._a_list()):
            self._do("DELETE", f"/api/groups/{self._ids.list_ids[name]}", None, lambda book: book.drop(name))

    def _make_contact(self) -> None:
        phone = self._phone()
        if phone in self._must.contacts:
            return
        name = self._a_list()

        def change(book: Book) -> None:
            book.contacts.add(phone)
            if name:
                book.members[name].add(phone)

        self._do("POST", "/api/contacts", {"phone": phone, "groups": self._list_ids(name)}, change)

    def _upsert(self) -> None:
        phones, name = self._some(40), self._a_list()

        def change(book: Book) -> None:
            book.contacts.update(phones)
            if name:
                book.members[name].update(phones)

        contacts = [{"phone": phone, "groups": self._list_ids(name)} for phone in phones]
        self._do("POST", "/api/contacts/upsert", {"contacts": contacts}, change)

    def _attach(self) -> None:
        self._move("attach", set[int].update)

    def _detach(self) -> None:
        self._move("detach", set[int].difference_update)

    def _move(self, how: str, change: Callable[[set[int], list[int]], None]) -> None:
        phones = self._known(20)
        if phones and (name := self._a_list()):
            body = {
                "contacts": [self._ids.contact_ids[phone] for phone in phones],
                "groups": self._list_ids(name),
            }
            self._do("POST", f"/api/groups/{how}", body, lambda book: change(book.members[name], phones))

    def _delete_contact(self) -> None:
        if phones := self._known(1):
            path = f"/api/contacts/{self._ids.contact_ids[phones[0]]}"
            self._do("DELETE", path, None, lambda book: book.delete(phones[0]))

    def _stop(self) -> None:
        phones, types = self._some(10), self._channels()
        body = {"phones": phones, "types": types}
        self._do("POST", "/api/stoplist/attach", body, lambda book: book.stop(phones, types))

    def _release(self) -> None:
        known = [phone for phone in self._ids.stop_ids if phone in self._must.stops]
        if known:
            phone, types = self._random.choice(known), self._channels()
            if set(types) >= self._must.stops[phone]:
                types = types[:1]  # a row that is gone comes back with another id
            body = {"ids": [self._ids.stop_ids[phone]], "types": types}
            self._do("POST", "/api/stoplist/detach", body, lambda book: book.release(phone, types))

    def _import(self) -> None:
        phones, name = self._some(1_500), self._a_list()
        if name:
            replaces = self._random.random() < 0.3

            def change(book: Book) -> None:
                book.contacts.update(phones)
                if replaces:
                    book.members[name].clear()
                book.members[name].update(phones)

            mode = {"mode": "replace", "confirm": "true"} if replaces else {"mode": "add"}
            self._upload(phones, change, list_id=str(self._ids.list_ids[name]), **mode)

    def _import_stops(self) -> None:
        phones, types = self._some(500), self._channels()
        self._upload(phones, lambda book: book.stop(phones, types), stop=",".join(types))

    # How it asks

    def _do(self, method: str, path: str, body: Any, change: Change) -> None:
        """Ask for a change. When no answer comes: ask again with the same key, or look what became of it."""
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        self.acts[f"{method} {path.rstrip('0123456789')}"] += 1
        deadline = time.monotonic() + BACK_SECONDS_MAX
        while True:
            try:
                answer = self._api.request(method, path, json=body, headers=headers)
            except httpx.TransportError:
                self.acts["answers that never came"] += 1
                self._reconnect()
                if self._random.random() < 0.3:
                    self._look_what_became(change)
                    return
                answer = None
            if answer is not None and answer.is_success:
                change(self._must)
                self._note_ids(path, answer)
                return
            if answer is not None and answer.status_code not in REFUSED_FOR_NOW:
                raise NotNow(answer)
            if answer is not None:
                self.acts[f"answers {answer.status_code}"] += 1
            if time.monotonic() > deadline:
                raise TimeoutError(f"{method} {path}: nothing but refusals for {BACK_SECONDS_MAX:.0f} s")
            time.sleep(0.2)

    def _look_what_became(self, change: Change) -> None:
        """After a request without an answer the book is as before or as after it, never in between."""
        has = self._patiently(self._kept)
        before, after = self._must, self._must.copy()
        change(after)
        if differences(before, has) and differences(after, has):
            self.faults += [f"{self.name}: in between: {fault}" for fault in differences(before, has)]
        self.acts["looked what became of it"] += 1
        self._ids, self._must = has, has.book.copy()

    def _upload(self, phones: list[int], change: Change, **options: str) -> None:
        text = "phone\n" + "".join(f"+{phone}\n" for phone in phones)
        key = str(uuid.uuid4())
        self.acts["imports"] += 1

        def ask() -> Any:
            answer = self._api.post(
                "/api/imports",
                params={"phone_check": "possible", **options},
                content=text.encode(),
                headers={"Idempotency-Key": key},
            )
            if answer.status_code != 202:
                raise NotNow(answer)
            return answer.json()["data"]["id"]

        number = self._patiently(ask)
        while True:
            found = self._patiently(lambda: self._read(f"/api/imports/{number}"))
            if found["state"] in ("done", "failed", "cancelled", "undone"):
                break
            time.sleep(0.1)
        if found["state"] == "done":
            change(self._must)
        else:
            self.faults.append(f"{self.name}: import {number} is {found['state']}: {found.get('error')}")
        self._ids = self._patiently(self._kept)

    def _kept(self) -> Kept:
        started = time.monotonic()
        found = kept(self._api)
        self.slowest_export = max(self.slowest_export, time.monotonic() - started)
        return found

    def _read(self, path: str) -> Any:
        answer = self._api.get(path)
        if answer.status_code != 200:
            raise NotNow(answer)
        return answer.json()["data"]

    def _patiently(self, ask: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + BACK_SECONDS_MAX
        while True:
            try:
                return ask()
            except httpx.TransportError:
                self._reconnect()
                error: Exception = TimeoutError("the service does not come back")
            except NotNow as refused:
                if refused.status not in REFUSED_FOR_NOW:
                    raise
                error = refused
            if time.monotonic() > deadline:
                raise error
            time.sleep(0.2)

    def _reconnect(self) -> None:
        self._api.close()
        self._api = self._connect()

    def _note_ids(self, path: str, answer: httpx.Response) -> None:
        """Remember the ids that an answer gave."""
        if not answer.content:
            return
        data = answer.json().get("data")
        if path == "/api/groups":
            self._ids.list_ids[data["name"]] = data["id"]
        elif path == "/api/contacts":
            self._ids.contact_ids[data["phone"]] = data["id"]
        elif path == "/api/contacts/upsert":
            self._ids.contact_ids |= {row["phone"]: row["id"] for row in data["results"]}
        elif path == "/api/stoplist/attach":
            self._ids.stop_ids |= {row["phone"]: row["id"] for row in data}

    # What it takes

    def _phone(self) -> int:
        return self._first + self._random.randrange(PHONES)

    def _some(self, most: int) -> list[int]:
        return sorted({self._phone() for _ in range(self._random.randint(1, most))})

    def _known(self, most: int) -> list[int]:
        known = [phone for phone in self._ids.contact_ids if phone in self._must.contacts]
        return sorted(set(self._random.choices(known, k=self._random.randint(1, most)))) if known else []

    def _a_list(self) -> str | None:
        known = [name for name in self._must.members if name in self._ids.list_ids]
        return self._random.choice(known) if known else None

    def _list_ids(self, name: str | None) -> list[int]:
        return [self._ids.list_ids[name]] if name else []

    def _channels(self) -> list[str]:
        return self._random.sample(CHANNELS, self._random.randint(1, 2))
