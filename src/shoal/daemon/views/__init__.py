"""The vault's views: pages of markdown about the ledger. A view is one file here and one line below.

Each is a function from a transaction and a layout to a page. The transaction must be a writing one: counts are brought
up to date where they are read. A page is the same, byte for byte, as long as nothing changed in the ledger.
"""

from __future__ import annotations

from collections.abc import Callable

from shoal.adapters.vault.layout import Layout
from shoal.daemon.views import costs, dependencies, fleet, mine, overdue, overview, pipeline
from shoal.daemon.views.page import Page
from shoal.services.transaction import Tx

View = Callable[[Tx, Layout], Page]

VIEWS: tuple[View, ...] = (
    overview.page,
    pipeline.page,
    mine.page,
    overdue.page,
    dependencies.page,
    fleet.page,
    costs.page,
)
