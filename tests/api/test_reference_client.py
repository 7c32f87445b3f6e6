"""The published Python client (bsg-sdk 0.1.8), unmodified, against a live service: every call of it that
belongs to the address book."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from bsg_api.api.auth_api import AuthApi
from bsg_api.api.contact_api import ContactApi
from bsg_api.api.contact_field_api import ContactFieldApi
from bsg_api.api.contact_list_api import ContactListApi
from bsg_api.api.stop_list_api import StopListApi
from bsg_api.api_client import ApiClient
from bsg_api.configuration import Configuration
from bsg_api.exceptions import UnprocessableEntityException
from bsg_api.models.contact_field_create_request import ContactFieldCreateRequest
from bsg_api.models.contact_field_type import ContactFieldType
from bsg_api.models.contact_field_update_request import ContactFieldUpdateRequest
from bsg_api.models.contact_field_update_request_option_description import (
    ContactFieldUpdateRequestOptionDescription,
)
from bsg_api.models.contact_field_update_request_option_is_visible import (
    ContactFieldUpdateRequestOptionIsVisible,
)
from bsg_api.models.contact_field_update_request_option_name import ContactFieldUpdateRequestOptionName
from bsg_api.models.contact_field_value_pair import ContactFieldValuePair
from bsg_api.models.contact_group_schema import ContactGroupSchema
from bsg_api.models.contact_group_search_field import ContactGroupSearchField
from bsg_api.models.contact_list_attach_request import ContactListAttachRequest
from bsg_api.models.contact_list_create_request import ContactListCreateRequest
from bsg_api.models.contact_list_detach_request import ContactListDetachRequest
from bsg_api.models.contact_list_update_request import ContactListUpdateRequest
from bsg_api.models.contact_update_request import ContactUpdateRequest
from bsg_api.models.login_request import LoginRequest
from bsg_api.models.post_contacts_fields_delete_request import PostContactsFieldsDeleteRequest
from bsg_api.models.search_operator import SearchOperator
from bsg_api.models.sort_way import SortWay
from bsg_api.models.stoplist_add_request import StoplistAddRequest
from bsg_api.models.stoplist_remove_request import StoplistRemoveRequest
from bsg_api.models.stoplist_search_field import StoplistSearchField
from bsg_api.models.store_contact import StoreContact

from tests.calls import PHONE
from tests.conftest import Live

COMPARED: list[SearchOperator] = [
    operator for operator in SearchOperator if operator is not SearchOperator.LIKE
]
TEXTUAL: list[SearchOperator] = [SearchOperator.LIKE, SearchOperator.EQUAL]
APIS: tuple[Any, ...] = (AuthApi, ContactApi, ContactFieldApi, ContactListApi, StopListApi)


class Sdk:
    """The client, logged in with a token that it refreshed, and the names of the calls it made.

    The annotations of its models make every member optional, hence `Any`.
    """

    def __init__(self, host: str, key: str) -> None:
        self.called: set[str] = set()
        self.configuration = Configuration(host=host)
        self._client = ApiClient(self.configuration)
        self.auth: Any = _Recorded(AuthApi(self._client), self.called)
        self.contacts: Any = _Recorded(ContactApi(self._client), self.called)
        self.fields: Any = _Recorded(ContactFieldApi(self._client), self.called)
        self.lists: Any = _Recorded(ContactListApi(self._client), self.called)
        self.stops: Any = _Recorded(StopListApi(self._client), self.called)
        self.configuration.access_token = self.auth.login(LoginRequest(api_key=key)).bearer
        self.configuration.access_token = self.auth.refresh_token().bearer
        assert self.configuration.access_token


class _Recorded:
    """An API of the client that notes which of its calls succeeded."""

    def __init__(self, api: Any, called: set[str]) -> None:
        self._api = api
        self._called = called

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._api, name)

        def recorded(*args: Any, **kwargs: Any) -> Any:
            answer = call(*args, **kwargs)
            self._called.add(f"{type(self._api).__name__}.{name}")
            return answer

        return recorded


@pytest.fixture
def sdk(live: Live) -> Sdk:
    return Sdk(live.service.url, live.new_key())


def test_it_makes_every_call_of_the_address_book(sdk: Sdk) -> None:
    every = {
        f"{api.__name__}.{name}"
        for api in APIS
        for name in vars(api)
        if not name.startswith("_") and not name.endswith(("_with_http_info", "_without_preload_content"))
    }
    assert len(every) == 25
    list_calls(sdk)
    field_calls(sdk)
    contact_calls(sdk)
    stop_list_calls(sdk)
    assert sdk.called == every


def new_list(sdk: Sdk, name: str, **more: Any) -> Any:
    return sdk.lists.contact_list_create(ContactListCreateRequest(name=name, **more)).data


def new_contact(sdk: Sdk, number: int, **more: Any) -> Any:
    return sdk.contacts.contact_create(StoreContact(phone=PHONE + number, **more)).data


def new_field(sdk: Sdk, name: str, type: ContactFieldType, **more: Any) -> Any:
    return sdk.fields.contact_field_create(ContactFieldCreateRequest(name=name, type=type, **more)).data


def list_calls(sdk: Sdk) -> None:
    lists = sdk.lists
    made = new_list(sdk, "Customers", description="who bought", default=True)
    assert (made.name, made.description, made.default, made.items, made.stop_list_count) == (
        "Customers",
        "who bought",
        True,
        0,
        0,
    )
    other = new_list(sdk, "Caf\u00e9 & friends")
    assert other.description is None
    assert lists.contact_list(id=made.id).data == made
    page = lists.contact_lists(page_offset=0, page_limit=15)
    assert ([row.id for row in page.data], page.total) == ([other.id, made.id], 2)
    changed = lists.contact_list_update(
        id=made.id, contact_list_update_request=ContactListUpdateRequest(name="Buyers")
    )
    assert (changed.data.name, changed.data.description) == ("Buyers", "who bought")
    assert changed.data.default is False  # the client sends it unasked
    found = lists.contact_list_search(
        page_offset=0,
        page_limit=15,
        sort="name",
        way=SortWay.ASC,
        search_field=ContactGroupSearchField.NAME,
        search_operator=SearchOperator.LIKE,
        search_value="CAF\u00c9 & ",
        search_fields_0_field=ContactGroupSearchField.CREATED_AT,
        search_fields_0_operator=SearchOperator.GREATER_THAN_EQUAL,
        search_fields_0_value="2020-01-01 00:00:00",
    )
    assert [row.name for row in found.data] == ["Caf\u00e9 & friends"]
    assert found.meta.page.total == 1
    assert found.meta.search.var_field == ContactGroupSearchField.NAME
    contacts = [new_contact(sdk, number).id for number in (9001, 9002)]
    both = {"contacts": contacts, "groups": [made.id, other.id]}
    assert lists.contact_list_attach(ContactListAttachRequest(**both)) is not None
    assert lists.contact_list(id=made.id).data.items == 2
    operators: dict[ContactGroupSearchField, list[SearchOperator]] = {
        ContactGroupSearchField.ID: COMPARED,
        ContactGroupSearchField.ITEMS: COMPARED,
        ContactGroupSearchField.CREATED_AT: COMPARED,
        ContactGroupSearchField.NAME: TEXTUAL,
        ContactGroupSearchField.DESCRIPTION: TEXTUAL,
        ContactGroupSearchField.PHONE: TEXTUAL,
    }
    values = {"items": "2", "created_at": "2020-01-01 00:00:00", "phone": str(PHONE + 9001)}
    for field in ContactGroupSearchField:
        for operator in operators[field]:
            found = lists.contact_list_search(
                search_field=field, search_operator=operator, search_value=values.get(field.value, "1")
            )
            assert found.meta.search.operator == operator
            assert found.meta.page.total == len(found.data)
    assert lists.contact_list_detach(ContactListDetachRequest(**both)) is not None
    assert lists.contact_list(id=made.id).data.items == 0
    lists.contact_list_delete(id=other.id)
    assert lists.contact_lists().total == 1


def field_calls(sdk: Sdk) -> None:
    fields = sdk.fields
    made = [new_field(sdk, f"{type.value} field", type) for type in ContactFieldType]
    assert [row.type for row in made] == list(ContactFieldType)
    hidden = new_field(sdk, "x" * 30, ContactFieldType.TEXT, description="y" * 255, is_visible=False)
    assert (hidden.name, hidden.description, hidden.is_visible) == ("x" * 30, "y" * 255, False)
    assert fields.contact_fields().data == [*made, hidden]
    options = [
        ContactFieldUpdateRequestOptionName(name="renamed"),
        ContactFieldUpdateRequestOptionDescription(description="described"),
        ContactFieldUpdateRequestOptionIsVisible(is_visible=True),
    ]
    for option in options:
        fields.contact_field_update(
            id=hidden.id, contact_field_update_request=ContactFieldUpdateRequest(option)
        )
    shown = fields.contact_fields().data[-1]
    assert (shown.name, shown.description, shown.is_visible) == ("renamed", "described", True)
    fields.post_contacts_fields_delete(
        PostContactsFieldsDeleteRequest(ids=[row.id for row in [*made, hidden]])
    )
    assert fields.contact_fields().data == []


def contact_calls(sdk: Sdk) -> None:
    contacts = sdk.contacts
    first, second = new_list(sdk, "first", description="d"), new_list(sdk, "second")
    city = new_field(sdk, "City", ContactFieldType.TEXT).id
    visits = new_field(sdk, "Visits", ContactFieldType.NUMBER).id
    since = new_field(sdk, "Since", ContactFieldType.DATE).id
    plain = new_contact(sdk, 1)
    assert (plain.phone, plain.fields, plain.groups, plain.hlr_status) == (PHONE + 1, [], [], "unknown")
    assert isinstance(plain.created_at, datetime)
    full = new_contact(
        sdk,
        2,
        groups=[ContactGroupSchema(id=first.id)],
        fields=[
            ContactFieldValuePair(id=city, value="K\u00fdjiv"),
            ContactFieldValuePair(id=visits, value="007.50"),
            ContactFieldValuePair(id=since, value="2022-04-28 14:21:16"),
        ],
    )
    assert full.fields == [
        {str(city): "K\u00fdjiv"},
        {str(visits): "7.5"},
        {str(since): "2022-04-28 14:21:16"},
    ]
    assert [(each.id, each.items, each.description) for each in full.groups] == [(first.id, 1, "d")]
    assert contacts.contact(id=full.id).data == full
    changed = contacts.contact_update(
        id=full.id,
        contact_update_request=ContactUpdateRequest(
            phone=PHONE + 3,
            groups=[ContactGroupSchema(id=second.id, name="any name")],
            fields=[ContactFieldValuePair(id=visits, value="")],
        ),
    ).data
    assert changed.phone == PHONE + 3
    assert [each.id for each in changed.groups] == [second.id, first.id]
    assert changed.fields == [{str(city): "K\u00fdjiv"}, {str(since): "2022-04-28 14:21:16"}]
    page = contacts.contacts(page_offset=0, page_limit=15, groups=[first.id, second.id])
    assert (page.data, page.total) == ([changed], 1)
    assert contacts.contacts().data[:2] == [changed, plain]
    searches: dict[str, tuple[list[SearchOperator], str]] = {
        "id": (COMPARED, str(full.id)),
        "phone": (TEXTUAL, str(PHONE + 3)),
        "group_id": ([SearchOperator.EQUAL], str(first.id)),
        "created_at": (COMPARED, str(changed.created_at)[:19]),
        "date": (COMPARED, str(changed.created_at)[:19]),
        str(city): (TEXTUAL, "K\u00fdjiv"),
        str(visits): (COMPARED, "7.5"),
        str(since): (COMPARED, "2022-04-28 14:21:16"),
    }
    for field, (operators, value) in searches.items():
        for operator in operators:
            found = contacts.contacts_search(
                page_offset=0,
                page_limit=15,
                sort="phone",
                way=SortWay.DESC,
                search_field=field,
                search_operator=operator,
                search_value=value,
                search_fields_0_field="phone",
                search_fields_0_operator=SearchOperator.EQUAL,
                search_fields_0_value=str(PHONE + 3),
            )
            assert found.meta.search.var_field == field.replace("date", "created_at")
            assert (found.meta.search.operator, found.meta.search.value) == (operator, value)
            holds = "=" in operator.value or operator is SearchOperator.LIKE
            assert found.data == ([changed] if holds and field != str(visits) else []), (field, operator)
    contacts.contact_delete(id=plain.id)
    others = [new_contact(sdk, 100 + number).id for number in range(40)]
    pages = [contacts.contacts(page_offset=offset, page_limit=15) for offset in (0, 15, 30, 45)]
    assert {page.total for page in pages} == {43}
    assert [row.id for page in pages for row in page.data][:40] == others[::-1]
    contacts.contacts_delete(contact_ids=[*others, 999_999_999])
    contacts.contacts_delete(group_ids=[second.id])
    assert [row.phone for row in contacts.contacts().data] == [PHONE + 9002, PHONE + 9001]


def stop_list_calls(sdk: Sdk) -> None:
    stops = sdk.stops
    in_list = new_list(sdk, "stopped")
    new_contact(sdk, 1, groups=[ContactGroupSchema(id=in_list.id)])
    rows = stops.stoplist_add(StoplistAddRequest(phones=[PHONE + 1, PHONE + 2], types=["sms"])).data
    assert [(row.phone, row.sms_stoplist, row.viber_stoplist) for row in rows] == [
        (PHONE + 1, True, False),
        (PHONE + 2, True, False),
    ]
    for channel in ("viber", "rcs", "whatsapp"):
        again = stops.stoplist_add(StoplistAddRequest(phones=[PHONE + 1], types=[channel])).data
        assert [row.id for row in again] == [rows[0].id]
    [row] = again
    assert (row.sms_stoplist, row.viber_stoplist, row.rcs_stoplist) == (True, True, True)
    for channel in ("sms", "viber", "rcs", "whatsapp"):
        page = stops.stoplist_items(page_offset=0, page_limit=15, type=channel)
        phones = [PHONE + 2, PHONE + 1] if channel == "sms" else [PHONE + 1]
        assert ([row.phone for row in page.data], page.total) == (phones, len(phones))
    assert stops.stoplist_items().total == 2
    assert sdk.lists.contact_list(id=in_list.id).data.stop_list_count == 1
    searches: dict[StoplistSearchField, tuple[list[SearchOperator], str]] = {
        StoplistSearchField.ID: (COMPARED, str(row.id)),
        StoplistSearchField.PHONE: (TEXTUAL, str(PHONE + 1)),
        StoplistSearchField.CREATED_AT: (COMPARED, str(row.created_at)[:19]),
        StoplistSearchField.TYPE: ([SearchOperator.EQUAL], "whatsapp"),
    }
    for field, (operators, value) in searches.items():
        for operator in operators:
            found = stops.stoplist_search(
                page_offset=0,
                page_limit=15,
                sort="id",
                way=SortWay.ASC,
                contact_group_id=in_list.id,
                search_field=field,
                search_operator=operator,
                search_value=value,
                search_fields_0_field=StoplistSearchField.TYPE,
                search_fields_0_operator=SearchOperator.EQUAL,
                search_fields_0_value="viber",
            )
            assert found.meta.search.var_field == field
            holds = "=" in operator.value or operator is SearchOperator.LIKE
            assert [each.id for each in found.data] == ([row.id] if holds else []), (field, operator)
    ids = [each.id for each in rows]
    stops.stoplist_remove(StoplistRemoveRequest(ids=ids, types=["sms", "viber", "rcs"]))
    page = stops.stoplist_items()
    assert [(row.phone, row.sms_stoplist) for row in page.data] == [(PHONE + 1, False)]
    stops.stoplist_remove(StoplistRemoveRequest(ids=[*ids, 999_999], types=["whatsapp"]))
    assert stops.stoplist_items().total == 0


def test_it_reads_every_refusal(sdk: Sdk) -> None:
    new_list(sdk, "Customers")
    contact = new_contact(sdk, 1)
    rename = ContactListUpdateRequest(name="Buyers")
    change = ContactUpdateRequest(phone=PHONE + 1)
    refusals: dict[str, Callable[[], Any]] = {
        "Contact group is already exists": lambda: new_list(sdk, "Customers", description="again"),
        "Contact group is not found": lambda: sdk.lists.contact_list_update(
            id=999_999, contact_list_update_request=rename
        ),
        "Phone number is already exist in contact book": lambda: new_contact(sdk, 1),
        "Invalid contact id": lambda: sdk.contacts.contact_update(id=999_999, contact_update_request=change),
        "Invalid phone number format": lambda: sdk.contacts.contact_update(
            id=contact.id, contact_update_request=ContactUpdateRequest(phone=999_000_000_000_000)
        ),
    }
    for message, call in refusals.items():
        with pytest.raises(UnprocessableEntityException) as refused:
            call()
        refusal: Any = refused.value
        assert refusal.data.message == message
        assert refusal.data.errors == []


def test_it_reads_a_contact_that_is_in_100_lists(sdk: Sdk) -> None:
    ids = [new_list(sdk, f"list {number}").id for number in range(100)]
    made = new_contact(sdk, 1, groups=[ContactGroupSchema(id=id) for id in ids])
    assert [each.id for each in made.groups] == ids[::-1]
    assert sdk.contacts.contacts_search().data == [made]
