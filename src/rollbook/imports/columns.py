"""The meaning of a file's columns: one is the phone, others are fields of contacts, the rest is left out."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from typing import NamedTuple

from rollbook.errors import BadFile
from rollbook.fields import NAME_LENGTH_MAX, Field, clean_name
from rollbook.files import formulas, phone_columns
from rollbook.files.headers import words_of
from rollbook.files.phone_columns import Reads, code_column
from rollbook.imports.own_export import FIELD, OwnExport, recognised
from rollbook.imports.rejects import Repaired, repaired
from rollbook.options import mention

_PUNCTUATION = re.compile(r"[\W_]+")

NAME_CHARACTERS_MAX = 200
"""How many characters of a column's name are compared: names of fields are much shorter."""

PHONE, STOPS, CODE = "phone", "stop list", "country code"
"""The meanings of columns besides fields: phones, the channels of stops in an export, and the country codes
of the phones."""


PHONES_MAX = 50
"""The most columns of phones in a file."""

_OPT_OUT = re.compile(
    r"stop|stops|stopped|stoplist|opt|opted|opts|optout|optedout|optin|optedin|unsubscri\w*|subscribed?|subscription|"
    r"permissions?|gdpr|"
    r"channels?|suppress(ed|ion)?|blacklist(ed)?|blocklist(ed)?|block(ed)?|dnc|dnd|dns|consent(s|ed)?|"
    r"abgemeldet|abmeldung|einwilligung|werbesperre|gesperrt|widerruf|baja|desabonne|consentement|consentimiento|"
    r"unsubs?|resubscri\w*|newsletters?|complain(ed|ts?)?|bounced?|exclu(de|ded|sion)|muted?|revoked?|withdrawn|removed?|"
    r"allowed|reachable|contactable|quit|inactive|deactivated|nosms|widersp\w*|werbung|werbeerlaubnis|erlaubt|abbestellt|"
    r"desinscri\w*|desabonn\w*|desuscri\w*|revogad\w*|cancelad\w*|odhlas\w*|rezygnac\w*|sprzeciw|"
    r"отказ\w*|рассыл\w*|запрет\w*|відмов\w*|розсил\w*|заборон\w*|отпис\w*|стоп\w*|соглас\w*|подписк\w*|відпис\w*|згод\w*|підписк\w*|wypisan\w*|zgod\w*"
)
"""A word in a header of a column that may hold opt-outs."""

_OPT_OUT_PHRASES = re.compile(
    r"do not|don t|dont|not contact|(can|may|ok to|allow) (contact|text|message|sms)|no (sms|messages?|text)|"
    r"accepts|marketing|keine (werbung|sms|nachrichten)|nicht (anschreiben|kontaktieren|anrufen)|"
    r"lista (negra|nera)|liste noire|no (contactar|molestar|llamar|enviar)|"
    r"nao (contat\w{1,9}|perturb\w{1,9}|enviar)|"
    r"ne pas (contacter|deranger)|non (contattare|disturbare)|"
    r"(можно|не|можна) (писать|писати|беспокоить|турбувати)"
)

_OPT_OUT_CELLS = frozenset(
    (
        "unsubscribed", "unsubscribe", "optout", "optedout", "stop", "stopped", "donotcontact", "donotcall",
        "dnc", "donottext", "donotmessage", "suppressed", "blacklisted", "blocked", "nosms", "abgemeldet",
        "отписан", "отписался", "отписалась", "відписаний", "відписався", "відписалася",
    )
)  # fmt: skip
"""Cells that mean an opt-out, without regard to case, spaces and punctuation."""

WARNED_MAX = 20
"""The most columns that are named in warnings, one by one."""


class Columns(NamedTuple):
    """The meaning of each column of a file.

    Args:
        phones: the columns of phones, at least one.
        fields: the field that each other column fills.
        new: the names of new fields for columns without a field, if fields are to be created.
        ignored: all other columns.
        doubtful: ignored columns that may hold opt-outs, judging by their name or their cells.
        others: columns as full of phones as the chosen one, which are not used as phones.
        own_export: the meaning of its columns, if it is an export of rollbook.
        repaired: its columns of rejected rows, if it is a repaired file of rollbook's rejects.
        codes: the column with the country codes of the phones, if there is one.
    """

    phones: Sequence[str]
    fields: Mapping[str, Field]
    new: Mapping[str, str]
    ignored: Sequence[str]
    doubtful: Sequence[str]
    others: Sequence[str]
    own_export: OwnExport | None
    repaired: Repaired
    codes: str | None = None

    def described(self) -> dict[str, str]:
        """The meaning of each column: `phone`, `stop list`, `country code`, the name of its field, or "" for
        none."""
        named = dict.fromkeys(self.phones, PHONE)
        if self.own_export is not None:
            named[self.own_export.stops] = STOPS
        named |= {column: field.name for column, field in self.fields.items()}
        named |= {**self.new, **dict.fromkeys(self.ignored, "")}
        if self.codes is not None and not named[self.codes]:
            named[self.codes] = CODE
        return named

    def warnings(self, *, all_stop: bool) -> list[str]:
        """Sentences about columns that are left out, but may hold opt-outs.

        Args:
            all_stop: whether every phone of the file is put on the stop list.
        """
        if all_stop:
            return [
                f"The column {column!r} was left out: every phone is put on the stop list, whatever stands "
                "in it. If it says who does want messages, import a file without their rows."
                for column in self.doubtful[:WARNED_MAX]
            ]
        return [
            f"The column {column!r} was left out. If it says who does not want messages, put these phones on "
            f"the stop list: import them with {mention('stop')}."
            for column in self.doubtful[:WARNED_MAX]
        ]


def choose(
    columns: Sequence[str],
    sample: Sequence[Sequence[str | None]],
    existing: Sequence[Field],
    mapped: Mapping[str, str],
    *,
    reads: Reads,
    create_fields: bool,
    every_phone: bool,
) -> Columns:
    """Decide what the columns of a file mean.

    Args:
        columns: the columns of the file, by their headers.
        sample: rows from its top.
        existing: the account's fields.
        mapped: the caller's mapping: for a column `phone`, a field's name, or "" for nothing.
        reads: returns which texts are valid phones.
        create_fields: whether fields are created for columns that have none.
        every_phone: whether all columns of phones count, and not only the most likely one.

    Raises:
        BadFile: no column holds phones, or `mapped` names a column or field that does not exist.
    """
    said = {_column(columns, column): meaning.strip() for column, meaning in mapped.items()}
    again = repaired(columns, sample)
    own = recognised(*_without(again.ours, columns, sample), said)
    phones = [column for column, meaning in said.items() if meaning.casefold() == PHONE]
    others: Sequence[str] = ()
    if own is not None and not phones:
        phones = ["phone"]
    elif not phones:
        phone, others, further = phone_columns(*_without(again.ours | said.keys(), columns, sample), reads)
        phones = [phone, *(further if every_phone else ())] if phone is not None else []
    if not phones:
        raise BadFile(
            f"No column looks like phone numbers; the file has {_listed(columns)}. Say which one it is: "
            f"{mention('map', 'COLUMN=phone')}."
        )
    if len(phones) > PHONES_MAX:
        raise BadFile(
            f"{len(phones):,} columns are phones; up to {PHONES_MAX} are read. Say which they are: "
            f"{mention('map', 'COLUMN=phone')}."
        )
    by_name = {_plain(field.name): field for field in existing}
    fields: dict[str, Field] = {}
    new: dict[str, str] = {}
    ignored = []
    no_fields = again.ours | (own.ignored if own is not None else frozenset())
    for column in columns:
        if column in phones or (own is not None and column == own.stops):
            continue
        if column in no_fields and column not in said:
            ignored.append(column)
            continue
        meaning = said.get(column, formulas.unmarked(again.shown.get(column, column)))
        if own is not None and column not in said and _plain(meaning) not in by_name:
            meaning = meaning.removesuffix(FIELD)
        field = by_name.get(_plain(meaning))
        if field is not None:
            fields[column] = field
        elif create_fields and meaning:
            new[column] = _new_name(column, meaning)
        elif column in said and meaning:
            raise BadFile(
                f"The column {column!r} is mapped to {meaning!r}, but there is no such field; "
                f"{mention('create_fields', 'true')} makes it."
            )
        else:
            ignored.append(column)
    names = [field.name for field in fields.values()] + list(new.values())
    if twice := [name for name, number in Counter(names).items() if number > 1]:
        raise BadFile(
            f"Several columns are for the field {min(twice)!r}: leave one out, {mention('map', 'COLUMN=')}."
        )
    left_out = set(ignored)
    others = [column for column in others if column in left_out]
    doubtful = [
        column
        for place, column in enumerate(columns)
        if column in left_out
        and column not in said
        and column not in no_fields
        and (_may_be_opt_outs(column) or any(_is_opt_out(row[place]) for row in sample))
    ]
    able = [column for column in columns if column not in phones and said.get(column) != ""]
    codes = code_column(columns, sample, able) if own is None else None
    return Columns(phones, fields, new, ignored, doubtful, others, own, again, codes)


def _without(
    left_out: Container[str], columns: Sequence[str], sample: Sequence[Sequence[str | None]]
) -> tuple[list[str], list[list[str | None]]]:
    places = [place for place, column in enumerate(columns) if column not in left_out]
    return [columns[place] for place in places], [[row[place] for place in places] for row in sample]


def _is_opt_out(cell: str | None) -> bool:
    return cell is not None and _plain(cell[:40]) in _OPT_OUT_CELLS


def _may_be_opt_outs(column: str) -> bool:
    words = words_of(column)
    return any(map(_OPT_OUT.fullmatch, words)) or _OPT_OUT_PHRASES.search(" ".join(words)) is not None


def _column(columns: Sequence[str], wanted: str) -> str:
    if wanted in columns:
        return wanted
    alike = [column for column in columns if _plain(column) == _plain(wanted)]
    if len(alike) != 1:
        raise BadFile(f"The file has no column {wanted!r}; it has {_listed(columns)}.")
    return alike[0]


def _new_name(column: str, name: str) -> str:
    try:
        return clean_name(name)
    except ValueError as error:
        raise BadFile(
            f"A field cannot be named as the column {column[:60]!r} is: it {error} (at most "
            f"{NAME_LENGTH_MAX}). Give it another name: {mention('map', 'COLUMN=NAME')}."
        ) from None


def _plain(name: str) -> str:
    """A name without regard to case, spaces and punctuation."""
    return _PUNCTUATION.sub("", unicodedata.normalize("NFKC", name[:NAME_CHARACTERS_MAX]).casefold())


def _listed(columns: Sequence[str]) -> str:
    shown = ", ".join(repr(column) for column in columns[:20])
    more = f" and {len(columns) - 20} more" if len(columns) > 20 else ""
    return f"the column{'s' if len(columns) > 1 else ''} {shown}{more}" if columns else "no columns"
