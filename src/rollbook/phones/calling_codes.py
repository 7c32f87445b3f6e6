"""Country calling codes in a separate column, which are put before the numbers of another column."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from phonenumbers import COUNTRY_CODE_TO_REGION_CODE

from rollbook.phones import spelling
from rollbook.phones.column import classify

_CODE = r"^\s*'?\(?(?:\+|00)?(?P<code>[1-9][0-9]{0,2}(?:[ -]?[0-9]{1,4})?)(?:\.0)?\)?\s*$"
"""A country calling code; with an area code where several countries share one, such as +1 876 and +44
1481."""

CODE_DIGITS_MAX = 7
"""The most digits of a code, including the area code."""

_BARE = r"(?s)^(?P<head>[^+0-9(]*)(?P<number>[0-9(].*)$"
"""A number without a leading +, and the characters before it."""

_DOUBLE_ZERO = r"^\(?0[ ().\-]*0"


def is_code(digits: str) -> bool:
    """Whether digits are a country calling code, or one with the code of an area that shares it."""
    return int(digits[:3]) in COUNTRY_CODE_TO_REGION_CODE or len(digits) > 3


def joined(numbers: pa.Array, codes: pa.Array) -> pa.Array:
    """Put country codes before numbers.

    A number that has a `+` or 00 stays as it is, as does a number whose row has no code. A number that
    already begins with the digits of its code, and is valid so, only gets the `+`. If both readings are
    possible, both are written to the text, which is then refused as `two_numbers`.

    Args:
        numbers: texts; nulls are allowed.
        codes: the same number of texts.
    """
    code = pc.struct_field(pc.extract_regex(codes, _CODE), "code")
    code = pc.replace_substring_regex(code, "[ -]", "")
    rows = np.flatnonzero(code.is_valid().to_numpy(zero_copy_only=False))
    plain = [text and spelling.plain(text) for text in numbers.take(pa.array(rows)).to_pylist()]
    parts = pc.extract_regex(pa.array(plain, pa.string()), _BARE)
    head, number = pc.struct_field(parts, "head"), pc.struct_field(parts, "number")
    bare = pc.invert(pc.match_substring_regex(number, _DOUBLE_ZERO)).fill_null(False)
    kept = pa.array(np.flatnonzero(bare.to_numpy(zero_copy_only=False)))
    if not len(kept):
        return numbers
    rows = rows[kept.to_numpy()]
    head, number, code = head.take(kept), number.take(kept), code.take(pa.array(rows))
    behind = pc.binary_join_element_wise(head, "+", code, number, "")
    whole = pc.binary_join_element_wise(head, "+", number, "")
    begins = _begin(pc.replace_substring_regex(number, r"[^0-9]", ""), code)
    begins &= classify(whole).valid
    either = begins & classify(behind).valid
    text = pc.if_else(pa.array(begins), whole, behind)
    text = pc.if_else(pa.array(either), pc.binary_join_element_wise(behind, whole, " / "), text)
    mask = np.zeros(len(numbers), bool)
    mask[rows] = True
    return pc.replace_with_mask(numbers, pa.array(mask), text.cast(numbers.type))


def _begin(digits: pa.Array, codes: pa.Array) -> NDArray[np.bool_]:
    """Whether each text begins with the code of its row."""
    found = np.zeros(len(digits), bool)
    for size in range(1, CODE_DIGITS_MAX + 1):
        same = pc.equal(pc.utf8_slice_codeunits(digits, 0, size), codes)
        found |= same.to_numpy(zero_copy_only=False)
    return found
