"""Where the log lines of long-running commands go: to standard error, one line each."""

from __future__ import annotations

import logging
import sys

import structlog


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
