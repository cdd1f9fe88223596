"""Telling a webhook of a run. Its address is a secret: no message has it, and no redirection is followed with it."""

from __future__ import annotations

import http.client
import json
import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from quantize_zoo import __version__
from quantize_zoo.config import Notify
from quantize_zoo.report.notification import notification, slack_text
from quantize_zoo.report.run_report import RunReport

TIMEOUT_SECONDS = 10.0


def address_problem(notify: Notify) -> str:
    """Return what is wrong with the address that the environment has; empty if nothing is."""
    address = os.environ.get(notify.variable, "")
    if not address:
        return f"the environment variable {notify.variable} is not set"
    try:
        parts = urlsplit(address)
        known = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        known = False
    return "" if known else f"the environment variable {notify.variable} has no http or https address"


def tell_webhook(notify: Notify, report: RunReport, page: Path, timeout: float = TIMEOUT_SECONDS) -> str:
    """Send a run to the webhook; return what went wrong, without its address, or nothing.

    Args:
        notify: where to, and in which format.
        report: the run.
        page: its overview.
        timeout: seconds that each step of the exchange may take.

    """
    problem = address_problem(notify)
    if problem:
        return problem
    content = notification(report, page) if notify.format == "json" else {"text": slack_text(report, page)}
    request = urllib.request.Request(  # noqa: S310  # the scheme was checked
        os.environ[notify.variable],
        json.dumps(content, allow_nan=False).encode(),
        {"Content-Type": "application/json", "User-Agent": f"quantize-zoo/{__version__}"},
        method="POST",
    )
    try:
        with urllib.request.build_opener(_NoRedirection).open(request, timeout=timeout):
            return ""
    except urllib.error.HTTPError as error:
        error.close()
        return f"it answered {error.code}"
    except TimeoutError:
        return f"it did not answer within {timeout:g} s"
    except urllib.error.URLError as error:
        return _of_the_connection(error.reason, timeout)
    except (OSError, http.client.HTTPException, ValueError) as error:
        return _of_the_connection(error, timeout)


class _NoRedirection(urllib.request.HTTPRedirectHandler):
    """A redirected request would be one without its content."""

    def redirect_request(self, *_: Any) -> None:
        """Follow none."""


def _of_the_connection(reason: BaseException | str, timeout: float) -> str:
    """Return why nothing was sent; other texts than the system's may have the address in them."""
    if isinstance(reason, TimeoutError):
        return f"it did not answer within {timeout:g} s"
    if isinstance(reason, OSError) and reason.strerror:
        return f"it cannot be reached: {reason.strerror}"
    return f"it cannot be reached ({type(reason).__name__})"
