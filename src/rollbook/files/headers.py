"""The names of columns: whether a file has them, and which column holds the phones."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

_SPECIFIC = frozenset(
    (
        "msisdn",
        "e164",
        "mobilenumber",
        "mobileno",
        "mobilephone",
        "mobilephonenumber",
        "cellphone",
        "cellnumber",
        "cellphonenumber",
        "whatsappnumber",
        "whatsapp",
        "vibernumber",
        "smsnumber",
        "smsphone",
        "phonemobile",
        "phonecell",
        "telmobile",
        "gsm",
        "gsmnumber",
        "мобильный",
        "мобильныйтелефон",
        "мобильныйномер",
        "мобільний",
        "мобільнийтелефон",
        "мобільнийномер",
        "сотовый",
        "сотовыйтелефон",
        "handynummer",
        "mobilnummer",
        "mobilfunknummer",
        "handy",
        "celular",
        "movil",
        "telefonomovil",
        "telefonocelular",
        "telemovel",
        "portable",
        "telephoneportable",
        "cellulare",
        "komorka",
        "telefonkomorkowy",
        "ceptelefonu",
        "gsmno",
        "mobiltelefon",
        "mobil",
    )
)
"""Headers of a number that can be messaged; without spaces, punctuation and accents."""

_PHONE = re.compile(
    r"phones?|phoneno|phonenum(ber)?s?|telephones?|tel|tels|telno|telnumber|mobiles?|mob|cell|cells|cellular|"
    r"msisdn|gsm|whats?app|viber|sms|телефон\w*|тел|мобильн\w*|мобільн\w*|моб|сотов\w*|telefon\w*|telefoon\w*|"
    r"telef|tlf|tlfnr|tfn|mobil\w*|mobiel\w*|movil\w*|handy\w*|celular\w*|cellulare|portable|puhelin\w*|matkapuhelin|"
    r"komork\w*|komorkow\w*|rufnummer|τηλεφων\w*|κινητο\w*|טלפון|נייד|هاتف|الهاتف|جوال|الجوال|موبايل|电话|電話|手机|手機|"
    r"手机号|手机号码|电话号码|電話番号|携帯|携帯電話|携帯番号|전화|전화번호|휴대폰|휴대전화"
)
"""A word of a header that says phone."""

_NUMBER = re.compile(
    r"numbers?|num|nr|no|number\d|номер\w*|ном|numero\w*|nummer\w*|numer|numara\w*|recipients?|"
    r"получател\w*|отримувач\w*|abonent\w*|абонент\w*|destination|号码|番号|번호|رقم"
)
"""A word that says number, of whatever."""

_LESS = re.compile(
    r"home|work|office|business|landline|fixed|рабоч\w*|робоч\w*|домашн\w*|fijo|fixe|festnetz\w*|fisso|2"
)
_MORE = re.compile(
    r"mobiles?|mob|cell|cells|cellular|gsm|msisdn|sms|whats?app|viber|мобильн\w*|мобільн\w*|моб|сотов\w*|mobil\w*|"
    r"mobiel\w*|movil\w*|handy\w*|celular\w*|cellulare|portable|komork\w*|matkapuhelin|手机\w*|手機|携帯\w*|휴대\w*|נייד|جوال|الجوال|موبايل"
)
_OTHER = re.compile(
    r"types?|kind|operators?|carriers?|network|provider|country|countrycode|code|prefix|region|city|verified|valid|"
    r"status|state|model|brand|dates?|time|at|count|label|name|id|ext|extension|fax|confirmed|optin|optout|consent|"
    r"order|invoice|street|house|account|card|тип|оператор\w*|код|страна|країна|статус|дата|заказ\w*|замовлен\w*|"
    r"договор\w*|договір|карты|факс|дома|имя|typ|art|marke|modelo|pais|codigo|operador|telefonnr_typ|orden|pedido"
)
"""A word that makes a header speak of something else: the type of a phone, the number of an order."""

_NAMES = re.compile(
    r"names?|firstname|lastname|fullname|surname|e?mails?|city|country|address|birthdays?|birth|gender|company|"
    r"organi[sz]ation|id|zip|title|date|created|list|tags?|notes?|comments?|имя|имена|фамилия|отчество|город|почта|"
    r"адрес|компания|дата|ім|імя|прізвище|місто|адреса|nombre|apellidos?|ciudad|correo|vorname|nachname|stadt|"
    r"prenom|nom|ville|nome|cognome|citta|imie|nazwisko|miasto|jmeno|prijmeni|ad|soyad|isim|sehir"
)
"""Other words that stand at the top of a file of contacts."""

_DIGITS_MIN, _DIGITS_MAX = 7, 15
"""Of what looks like a phone: local numbers of small countries have 7, E.164 allows 15."""

_WRITTEN = re.compile(r"'?\+?[\d\s().\-/\u2010-\u2015\u00a0]+")
_NOT_PHONES = re.compile(
    r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}([T\s].*)?|\d{1,2}[-/.]\d{1,2}[-/.]\d{4}([T\s].*)?|-?\d+[.,]\d+|-\d+"
)
_FLOAT_OF_WHOLE = re.compile(r"(\d+)\.0+")
_SCIENTIFIC = re.compile(r"\d[.,]\d+E\+1[0-4]", re.IGNORECASE)
_CAMEL = re.compile(r"(?<=[a-zа-я])(?=[A-ZА-Я])")


class _Content(NamedTuple):
    """What the cells of a column look like."""

    share: float
    digits: float


def guess_phone_column(columns: Sequence[str], sample: Sequence[Sequence[str | None]]) -> str | None:
    """The column that holds the phones.

    Args:
        columns: the names of all, as a `Table` has them.
        sample: rows from the top, a cell for each column.

    Returns:
        The column whose name says phone, the most specific one where several do (`mobile` before `phone`,
        `phone` before `work phone` and `number`). Where none does or two are alike: the one of which most
        cells look like phones (`looks_like_phone`), if that is at least half of them. A single column without
        a name is taken as it is. `None` when nothing looks like a phone.
    """
    if list(columns) == ["column 1"]:
        return columns[0]
    scores = [_score(column) for column in columns]
    best = max(scores, default=0)
    named = [place for place, score in enumerate(scores) if score == best] if best else []
    if len(named) == 1:
        return columns[named[0]]
    contents = {place: _content([row[place] for row in sample]) for place in named or range(len(columns))}
    chosen = max(contents, key=lambda place: (*contents[place], -place), default=None)
    if chosen is not None and contents[chosen].share >= 0.5:
        return columns[chosen]
    return columns[named[0]] if named else None


def looks_like_phone(text: str) -> bool:
    """Whether a cell may be a phone: 7 to 15 digits with punctuation, and no date and no fraction. Also what
    spreadsheets make of one: `380501234567.0`, `3.80E+11`."""
    text = text.strip()
    if _SCIENTIFIC.fullmatch(text):
        return True
    if whole := _FLOAT_OF_WHOLE.fullmatch(text):
        text = whole[1]
    if not _WRITTEN.fullmatch(text) or _NOT_PHONES.fullmatch(text):
        return False
    return _DIGITS_MIN <= sum(char.isdigit() for char in text) <= _DIGITS_MAX


def has_header(rows: Sequence[Sequence[str | None]]) -> bool:
    """Whether the first of some rows names the columns.

    It does not when a cell of it looks like a phone or there is nothing but numbers in it; else it does when
    it holds words that are known from headers, and also when nothing speaks against it: a file of contacts
    whose first row has no phone starts with names.
    """
    if not rows:
        return False
    first = [cell.strip() for cell in rows[0] if cell and cell.strip()]
    if not first or any(looks_like_phone(cell) for cell in first):
        return False
    if any(_is_known(cell) for cell in first):
        return True
    return any(any(char.isalpha() for char in cell) for cell in first)


def unique_names(cells: Sequence[str | None], width: int) -> list[str]:
    """Names of columns from the cells of a header: trimmed, no two alike.

    Args:
        cells: may be fewer than the columns.
        width: how many columns there are.
    """
    names: list[str] = []
    taken: dict[str, int] = {}
    for number in range(1, width + 1):
        cell = (cells[number - 1] if number <= len(cells) else None) or ""
        name = base = " ".join(cell.replace("\ufeff", "").split()) or f"column {number}"
        while name.casefold() in taken:
            again = taken[base.casefold()] = taken.get(base.casefold(), 1) + 1
            name = f"{base} ({again})"
        taken[name.casefold()] = 1
        names.append(name)
    return names


def _score(header: str) -> float:
    """How much a header says that the column holds phones: 0 for not at all."""
    words = _words(header)
    joined = "".join(words)
    if any(_OTHER.fullmatch(word) for word in words):
        return 0
    if joined in _SPECIFIC:
        return 4
    if any(_PHONE.fullmatch(word) for word in words) or _PHONE.fullmatch(joined):
        if any(_LESS.fullmatch(word) for word in words):
            return 2
        return 3.5 if any(_MORE.fullmatch(word) for word in words) else 3
    if words and all(_NUMBER.fullmatch(word) for word in words):
        return 1
    return 0


def _is_known(header: str) -> bool:
    words = _words(header)
    return any(rule.fullmatch(word) for word in words for rule in (_PHONE, _NUMBER, _NAMES, _OTHER))


def _words(header: str) -> list[str]:
    """The words of a header, without case and accents: `PhoneNumber` and `phone_number` are phone, number."""
    text = unicodedata.normalize("NFKC", _CAMEL.sub(" ", header[:200])).casefold()
    plain = "".join(
        char
        for char in unicodedata.normalize("NFD", text)
        # The breve of й is no accent: without it the word is another one.
        if not unicodedata.combining(char) or char == "\u0306"
    )
    return re.findall(r"[^\W_]+", unicodedata.normalize("NFC", plain).replace("'", ""))


def _content(cells: Sequence[str | None]) -> _Content:
    filled = [cell for cell in cells if cell and cell.strip()]
    phones = [cell for cell in filled if looks_like_phone(cell)]
    if not phones:
        return _Content(0, 0)
    digits = sum(sum(char.isdigit() for char in cell) for cell in phones) / len(phones)
    return _Content(round(len(phones) / len(filled), 1), digits)
