"""A page of the supplier's feed is as documented, or nothing of it is read."""

import pytest
from pydantic import ValidationError

from catalog import supplier

ITEM = {"sku": "apples", "delivered": 1, "price": "2.40", "version": 1}


@pytest.mark.parametrize(
    "wrong",
    [
        {"next": None}, {"watermark": ""}, {"next": "\x00"}, {"items": [ITEM] * (supplier.PAGE + 1)},
        *({"items": [ITEM | one]} for one in (
            {"sku": ""}, {"sku": "a\x00"}, {"delivered": -1}, {"delivered": "1"}, {"price": "0"}, {"price": "NaN"},
            {"price": "2.405"}, {"price": "1000000"}, {"version": 1.5},
        )),
    ],
    ids=lambda wrong: str(wrong)[:60],
)  # fmt: skip
def test_a_page_that_is_not_as_documented_is_refused_whole(wrong):
    whole = {"items": [ITEM], "next": "", "watermark": "1"}
    assert supplier.Page.model_validate(whole)
    with pytest.raises(ValidationError):
        supplier.Page.model_validate(whole | wrong)
