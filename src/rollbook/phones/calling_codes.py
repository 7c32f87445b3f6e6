"""Country calling codes in a column of their own, in front of the numbers in another."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from phonenumbers import COUNTRY_CODE_TO_REGION_CODE

from rollbook.phones import spelling
from rollbook.phones.column import classify

_CODE = r"^\s*'?\(?(?:\+|00)?(?P<code>[1-9][0-9]{0,2}(?:[ -]?[0-9]{1,4})?)(?:\.0)?\)?\s*$"
"""The code of a country, and where several share it, such as +1 876 and +44 1481, of an area in it."""

CODE_DIGITS_MAX = 7
"""Of a code, with the area."""

_BARE = r"(?s)^(?P<head>[^+0-9(]*)(?P<number>[0-9(].*)$"
"""A number without a + in front, with what stands before it."""

_DOUBLE_ZERO = r"^\(?0[ ().\-]*0"


def is_code(digits: str) -> bool:
    """Whether digits are a country calling code, or that of an area in a country that shares one."""
    return int(digits[:3]) in COUNTRY_CODE_TO_REGION_CODE or len(digits) > 3


def joined(numbers: pa.Array, codes: pa.Array) -> pa.Array:
    """Numbers with their country codes in front.

    A number that has a `+` or 00 stays as it is; so does one whose row has no code. One that begins with the
    digits of its code anyhow, and is valid so, only gets the `+`. Where it may be read either way both
    readings stand in the text, which is refused as `two_numbers`.

    Args:
        numbers: texts, nulls allowed.
        codes: as many texts.
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
    """Which of some texts begin with the code at their place."""
    found = np.zeros(len(digits), bool)
    for size in range(1, CODE_DIGITS_MAX + 1):
        same = pc.equal(pc.utf8_slice_codeunits(digits, 0, size), codes)
        found |= same.to_numpy(zero_copy_only=False)
    return found
