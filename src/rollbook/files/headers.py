"""The names of columns: whether a file has them, on which row, and what they say."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
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
    r"contacts?|контакт\w*|получател\w*|отримувач\w*|abonent\w*|абонент\w*|destination|号码|番号|번호|رقم"
)
"""A word that says number, of whatever."""

_LESS = re.compile(
    r"home|work|office|business|landline|fixed|рабоч\w*|робоч\w*|домашн\w*|fijo|fixe|festnetz\w*|fisso|[2-9]|"
    r"other|second(ary)?|alt(ernat(iv)?e)?|default|billing|shipping|assistants?|emergency|car|parents?|spouse|company|"
    r"agents?|reps?|sales|salesperson|managers?|sellers?|vendors?|couriers?|drivers?|advisors?|consultants?|referr\w*|"
    r"employees?|staff|store|shop|branch|support|hotline|vertreter\w*|betreuer\w*|berater\w*|verkaufer\w*|filiale|"
    r"менеджер\w*|продав\w*|курьер\w*|кур.?єр\w*|водител\w*|водія|сотрудник\w*|магазин\w*|vendedor\w*|agente"
)
_MORE = re.compile(
    r"mobiles?|mob|cell|cells|cellular|gsm|msisdn|sms|whats?app|viber|мобильн\w*|мобільн\w*|моб|сотов\w*|mobil\w*|"
    r"mobiel\w*|movil\w*|handy\w*|celular\w*|cellulare|portable|komork\w*|matkapuhelin|手机\w*|手機|携帯\w*|휴대\w*|נייד|جوال|الجوال|موبايل"
)
_OTHER = re.compile(
    r"types?|kind|operators?|carriers?|network|provider|country|countrycode|code|prefix|region|city|verified|valid|"
    r"status|state|model|brand|dates?|time|at|count|label|name|id|ext|extension|fax|confirmed|optin|optout|consent|"
    r"order|invoice|street|house|account|card|pager|accepts?|marketing|opt|opted|optin|optout|agree\w*|"
    r"allow\w*|permissions?|newsletter|"
    r"subscri\w*|unsubscri\w*|stopped|contracts?|policy|plan|tariff?|imei|iccid|sim|text|body|message|sent|delivered|"
    r"vertrag\w*|anbieter|einwilligung|zustimmung|kunden\w*|rechnung\w*|согласие|подписк\w*|згода|підписк\w*|тип|оператор\w*|код|страна|країна|статус|дата|заказ\w*|замовлен\w*|"
    r"договор\w*|договір|карты|факс|дома|имя|typ|art|marke|modelo|pais|codigo|operador|telefonnr_typ|orden|pedido"
)
"""A word that makes a header speak of something else: the type of a phone, the number of an order."""

_STEMS = (
    "telefon",
    "telefoon",
    "mobil",
    "mobiel",
    "handy",
    "celular",
    "komork",
    "телефон",
    "мобильн",
    "мобільн",
)
_OTHER_COMPOUNDS = (
    "vertrag", "typ", "art", "anbieter", "netz", "tarif", "marke", "modell", "kosten", "rechnung", "kunde",
    "datum", "zeit", "status", "provider", "operator", "konto", "versicher", "herstell", "besitzer", "abo",
    "contract", "kod", "code", "imei", "sim", "sperr", "bonus", "itat", "preis",
)  # fmt: skip
"""Parts of words that begin like a phone and mean something else: a Handyvertrag is a contract."""

_NAMES = re.compile(
    r"names?|firstname|lastname|fullname|surname|e?mails?|city|country|address|birthdays?|birth|gender|company|"
    r"organi[sz]ation|id|zip|title|date|created|list|tags?|notes?|comments?|имя|имена|фамилия|отчество|город|почта|"
    r"адрес|компания|дата|ім|імя|прізвище|місто|адреса|nombre|apellidos?|ciudad|correo|vorname|nachname|stadt|"
    r"prenom|nom|ville|nome|cognome|citta|imie|nazwisko|miasto|jmeno|prijmeni|ad|soyad|isim|sehir"
)
"""Other words that stand at the top of a file of contacts."""

_DIGITS_MIN, _DIGITS_MAX = 7, 15
"""Fewest and most digits of a phone: local numbers of small countries have 7, E.164 allows 15."""

_CHARACTERS_MAX = 250
"""Most characters of a phone, with all punctuation."""

_WRITTEN = re.compile(r"'?\+?[\d\s().\-/\u2010-\u2015\u00a0]+")
_NOT_PHONES = re.compile(
    r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}([T\s].*)?|\d{1,2}[-/.]\d{1,2}[-/.]\d{4}([T\s].*)?|-?\d+[.,]\d+|-\d+"
)
_FLOAT_OF_WHOLE = re.compile(r"(\d+)\.0+")
_SCIENTIFIC = re.compile(r"\d[.,]\d+E\+1[0-4]", re.IGNORECASE)
_WORD = re.compile(r"[^\W_]+")
_CAMEL = re.compile(r"(?<=[a-zа-я])(?=[A-ZА-Я])")


HEADER_ROWS = 20
"""Rows among which the header is looked for: titles may stand above it."""

_VANITY = re.compile(r"\(?\+?1?[-. (]{0,3}8[02-8]{2}[-. )]{1,2}[A-Za-z0-9-]{7,9}")
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]{1,190}\.[^@\s]{2,24}")
_WHEN = re.compile(
    r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}|\d{1,2}:\d\d(?::\d\d(?:\.\d{1,9})?)?"
)
_NOTHING = frozenset(("n/a", "#n/a", "null", "none", "nan", "unknown"))
"""Texts of cells that are empty in effect."""

_BARE_NUMBER_MIN = 5
"""Digits of a cell with nothing else in it that no column is called: years have four."""


class _Head(NamedTuple):
    """A row that may name the columns.

    Args:
        place: among the rows.
        cells: how many of it are filled.
        header_words: how many have a word that is known from headers.
        says_phone: whether one of them says phone.
    """

    place: int
    cells: int
    header_words: int
    says_phone: bool


def looks_like_phone(text: str) -> bool:
    """Whether a cell may be a phone: 7 to 15 digits with punctuation, and no date and no fraction. Also what
    spreadsheets make of one: `380501234567.0`, `3.80E+11`."""
    text = text.strip()
    if len(text) > _CHARACTERS_MAX:
        return False
    if _SCIENTIFIC.fullmatch(text):
        return True
    if whole := _FLOAT_OF_WHOLE.fullmatch(text):
        text = whole[1]
    if not _WRITTEN.fullmatch(text) or _NOT_PHONES.fullmatch(text):
        return False
    return _DIGITS_MIN <= sum(char.isdigit() for char in text) <= _DIGITS_MAX


def is_data(cell: str) -> bool:
    """Whether a cell cannot be the name of a column: it may be a phone in whatever spelling, it is an address
    of email, or it says that there is nothing."""
    if cell.casefold() in _NOTHING:
        return True
    digits = sum(char.isdigit() for char in cell)
    if digits >= _DIGITS_MIN or looks_like_phone(cell) or _VANITY.fullmatch(cell) or _EMAIL.fullmatch(cell):
        return True
    return digits >= _BARE_NUMBER_MIN and _WRITTEN.fullmatch(cell) is not None


def header_place(rows: Sequence[Sequence[str | None]]) -> int | None:
    """Which of the first rows names the columns; `None` if none does.

    A row is never it when a cell of it may be a phone or has seven digits (`is_data`), nor any row below such
    a one, other than a title: less is filled of a title than of the rows. Among the others it is the first
    one, unless that is a title and a later one has words that are known from headers. A file of contacts
    whose first row has no phone starts with names.
    """
    filled = [[cell.strip() for cell in row if cell and cell.strip()] for row in rows]
    counts = Counter(len(cells) for cells in filled if cells)
    usual = max(counts, key=lambda width: (counts[width], width), default=0)
    best: _Head | None = None
    for place, cells in _first_filled(filled):
        if any(map(is_data, cells)):
            if _is_title(cells, usual):
                continue
            break
        header_words = sum(map(_is_known, cells))
        head = _Head(place, len(cells), header_words, any(score_of(cell) >= 2 for cell in cells))
        if best is None or _is_better(head, best, usual):
            best = head
    if best is None or not any(char.isalpha() for cell in filled[best.place] for char in cell):
        return None
    return best.place


def _first_filled(rows: Sequence[list[str]]) -> Iterator[tuple[int, list[str]]]:
    found = ((place, cells) for place, cells in enumerate(rows) if cells)
    return itertools.islice(found, HEADER_ROWS)


def _is_title(cells: Sequence[str], usual: int) -> bool:
    """Whether a row with digits stands above the table: `Exported on 2026-01-31 10:00`, `Hotline: +44...`."""
    if len(cells) >= usual:
        return False
    if len(cells) == 1 and sum(char.isalpha() for char in cells[0]) >= 4:
        return True
    return not any(is_data(_WHEN.sub("", cell).strip()) for cell in cells)


def _is_better(head: _Head, best: _Head, usual: int) -> bool:
    """Whether the best so far is a title and the row below it is the header."""
    if best.cells == 1 and head.cells > 1 and usual > 1:
        return head.header_words > 0 or not best.says_phone
    if head.header_words <= best.header_words:
        return False
    return (head.says_phone and not best.says_phone) or (head.header_words > 1 and head.cells > best.cells)


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


def score_of(header: str) -> float:
    """How much a header says that the column holds phones: 0 for not at all."""
    words = words_of(header)
    joined = "".join(words)
    if any(map(_is_other, words)):
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


def says_other(header: str) -> bool:
    """Whether a header is about something other than a phone: an order, a consent, a date."""
    return any(map(_is_other, words_of(header)))


def _is_other(word: str) -> bool:
    if _OTHER.fullmatch(word):
        return True
    stem = next((stem for stem in _STEMS if word.startswith(stem)), None)
    return stem is not None and any(part in word[len(stem) :] for part in _OTHER_COMPOUNDS)


def _is_known(header: str) -> bool:
    words = words_of(header)
    return any(rule.fullmatch(word) for word in words for rule in (_PHONE, _NUMBER, _NAMES, _OTHER))


def words_of(header: str) -> list[str]:
    """The words of a header, without case and accents: `PhoneNumber` and `phone_number` are phone, number."""
    text = unicodedata.normalize("NFKC", _CAMEL.sub(" ", header[:200])).casefold()
    plain = "".join(
        char
        for char in unicodedata.normalize("NFD", text)
        # The breve of й is no accent: without it the word is another one.
        if not unicodedata.combining(char) or char == "\u0306"
    )
    return _WORD.findall(unicodedata.normalize("NFC", plain).replace("'", ""))
