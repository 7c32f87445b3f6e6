"""The published Python client (bsg-sdk 0.1.8), unmodified, against a live service."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from bsg_api.api.auth_api import AuthApi
from bsg_api.api.contact_list_api import ContactListApi
from bsg_api.api_client import ApiClient
from bsg_api.configuration import Configuration
from bsg_api.exceptions import UnprocessableEntityException
from bsg_api.models.contact_group_search_field import ContactGroupSearchField
from bsg_api.models.contact_list_create_request import ContactListCreateRequest
from bsg_api.models.contact_list_update_request import ContactListUpdateRequest
from bsg_api.models.login_request import LoginRequest
from bsg_api.models.search_operator import SearchOperator
from bsg_api.models.sort_way import SortWay

from tests.conftest import Live


@pytest.fixture
def client(live: Live) -> Iterator[ApiClient]:
    """The client, logged in, with a token that it refreshed."""
    configuration = Configuration(host=live.service.url)
    with ApiClient(configuration) as client:
        token = AuthApi(client).login(LoginRequest(api_key=live.new_key())).bearer
        configuration.access_token = token
        refreshed = AuthApi(client).refresh_token().bearer
        assert refreshed
        configuration.access_token = refreshed
        yield client


def test_it_does_every_list_call(client: ApiClient) -> None:
    lists: Any = ContactListApi(client)  # its annotations make every member optional
    made = lists.contact_list_create(
        ContactListCreateRequest(name="Customers", description="who bought", default=True)
    ).data
    assert (made.name, made.description, made.default, made.items, made.stop_list_count) == (
        "Customers",
        "who bought",
        True,
        0,
        0,
    )
    other = lists.contact_list_create(ContactListCreateRequest(name="Caf\u00e9 & friends")).data
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
    for operator in SearchOperator:
        if operator is not SearchOperator.LIKE:
            lists.contact_list_search(
                search_field=ContactGroupSearchField.ITEMS, search_operator=operator, search_value="0"
            )
    lists.contact_list_delete(id=other.id)
    assert lists.contact_lists().total == 1


def test_it_reads_every_refusal(client: ApiClient) -> None:
    lists: Any = ContactListApi(client)
    lists.contact_list_create(ContactListCreateRequest(name="Customers"))
    with pytest.raises(UnprocessableEntityException) as taken:
        lists.contact_list_create(ContactListCreateRequest(name="Customers", description="again"))
    refusal: Any = taken.value
    assert refusal.data.message == "Contact group is already exists"
    assert refusal.data.errors == []
    with pytest.raises(UnprocessableEntityException) as unknown:
        lists.contact_list_update(
            id=999_999, contact_list_update_request=ContactListUpdateRequest(name="Buyers")
        )
    refusal = unknown.value
    assert refusal.data.message == "Contact group is not found"
