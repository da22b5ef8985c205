"""The partners' inbox, where a customer reads their mails."""

import os
import re
from html import unescape

import urllib3

from tests.waiting import until


def link_in(subject: str, address: str) -> str:
    """The link in the mail with this subject, once it has come to the address."""
    inbox = f"http://127.0.0.1:{os.environ['MAIL_PORT']}"

    def page() -> str | None:
        listed = urllib3.request("GET", f"{inbox}/", fields={"q": address}).data.decode()
        pages = (urllib3.request("GET", inbox + path).data.decode() for path in re.findall(r"/mails/\d+/", listed))
        return next((unescape(page) for page in pages if re.search(f"<h1[^>]*>{subject}<", page)), None)

    return re.search(r"http\S+token=[^\s<]+", until(page, what=f"mail: {subject}"))[0]
