"""The built-in job `status_report`: how the ledger stands, as a file in the vault and to notification channels.

What it tells is snapshot.py's, in the words of status_text.py.
"""

from __future__ import annotations

from pathlib import PurePosixPath

from shoal.adapters.vault import report_file
from shoal.adapters.vault.layout import Layout
from shoal.daemon import notifications
from shoal.daemon.built_ins import snapshot, status_text
from shoal.daemon.built_ins.context import Context
from shoal.daemon.views.page import Page
from shoal.errors import BadInput, ChannelError, ShoalError, VaultError
from shoal.model.built_in import StatusReportOptions
from shoal.settings import Settings

FILE = "status.md"


def run(context: Context) -> str:
    """Tell how the ledger stands: counts, ages, what failed, what waits for a person, and what was spent.

    Raises an error that names the file and every channel that did not get it; the others did.
    """
    settings = context.engine.settings
    options: StatusReportOptions = context.options
    place = placed(options.file, settings)
    found = snapshot.read(context.engine, days=options.days)
    page = status_text.page(found, place or PurePosixPath(FILE))
    # What is written so for Obsidian, where dollars are mathematics, reads badly in a terminal.
    context.say(f"{page.body.replace('&#36;', '$')}\n")
    failed: list[ShoalError] = []
    if place is not None:
        try:
            context.say(f"{_write(context, page)}\n")
        except (ShoalError, OSError) as error:
            failed.append(VaultError(f"{place} was not written: {error}"))
    if context.stopping.is_set():
        return ""
    title, text = status_text.chat(found)
    refused = notifications.notify_all(settings, options.channels, title=title, body=text)
    if sent := [name for name in dict.fromkeys(options.channels) if name not in refused]:
        context.say(f"Sent to {', '.join(sent)}.\n")
    failed += refused.values()
    if failed:
        kind = ChannelError if refused else VaultError
        raise kind("; ".join(error.message for error in failed))
    return ""


def placed(file: str | None, settings: Settings) -> PurePosixPath | None:
    """Where in the vault the file belongs; None for no file. Raises BadInput for a place that the sync writes to."""
    layout = Layout.of(settings)
    if file == "":
        return None
    place = layout.fleet / FILE if file is None else PurePosixPath(file)
    for folder in (layout.tasks, layout.context, layout.notes, layout.views, layout.archive):
        if place.is_relative_to(folder):
            raise BadInput(
                f"option file of status_report: {folder} is for what the sync writes; choose another folder",
                field="action.options.file",
            )
    return place


def _write(context: Context, page: Page) -> str:
    settler = context.engine.settler
    if settler is None:
        return "There is no vault, so no file was written."
    report_file.write(settler.vault, page.path, page.text, view=status_text.NAME)
    seconds = context.engine.settings.vault_sync_seconds
    return f"Written to {page.path} in the vault; the next sync commits it, within {seconds} s."
