"""Queries: what they share with the model, they say as the model does."""

from __future__ import annotations

import re

from shoal.model.item import NO_WORK, OPEN
from shoal.store.queries import sources


def test_parts_hold_what_the_model_holds() -> None:
    texts = "\n".join(sources().values())
    for part, expected in (("open", OPEN), ("no_work", NO_WORK)):
        found = re.findall(rf"^-- part: {part}\n-- .+\n(\(.+\))$", texts, re.MULTILINE)
        assert found
        for one in found:
            assert set(re.findall(r"'(\w+)'", one)) == {each.value for each in expected}
