"""The checks of a checkout that Shoal brings along: a name, and the module that has the shape in check.py.

A member is a file here and its line in BUILT_INS. Its module is imported when it is asked for. Checks of the ledger and
the vault are in errands/checks.
"""

# Name -> module.
BUILT_INS: dict[str, str] = {
    "convention-scan": "shoal.adapters.checks.convention_scan",
    "doc-health": "shoal.adapters.checks.doc_health",
}
