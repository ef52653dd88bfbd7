"""Where the log lines of long-running commands go: to standard error, one line each."""

from __future__ import annotations

import logging
import sys

import structlog

from shoal.live_settings import Change

log = structlog.get_logger()


def log_to_stderr() -> None:
    """Write log lines as key=value; standard output stays free for answers."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def tell_of_settings(change: Change) -> None:
    """Say in the log what became of a changed shoal.toml."""
    if change.problem is not None:
        log.error("settings refused, those before stay in force", reason=change.problem)
        return
    log.info("settings taken up", changed=", ".join(change.taken_up) or "nothing")
    if change.at_restart:
        log.warning("settings that hold after a restart only", changed=", ".join(change.at_restart))
