"""The studio's log, which a server prints in its terminal. Text from outside in it cannot steer the terminal."""

import logging
import traceback

from preceptor.core.text import printable

LOG = logging.getLogger("preceptor.studio")
_SERVER = logging.getLogger("uvicorn.error")
_REPEATED = "Exception in ASGI application"
"""What the server says of an error that the studio has logged already."""


def print_log() -> None:
    """Prints the log on standard error from here on, and what the web server itself reports."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    LOG.handlers = [handler]
    _SERVER.addFilter(_of_server)


def _visible(record: logging.LogRecord) -> bool:
    """Makes hidden characters in a message, and in the error behind it, visible."""
    record.msg, record.args = printable(record.getMessage()), ()
    if record.exc_info:
        record.exc_text = printable("".join(traceback.format_exception(record.exc_info[1])).rstrip())
    return True


def _of_server(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(_REPEATED) and _visible(record)


LOG.addFilter(_visible)
