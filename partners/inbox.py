"""The inbox: every mail that the server received, newest first, shown so that no mail can do harm.

A mail's HTML runs nothing, loads nothing and reaches no page of ours: it is framed without rights, and its
own answer carries a policy that says the same for whoever opens it alone.
"""

import re
import sqlite3
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any
from urllib.parse import quote, urlencode

from aiohttp import web

from partners import pages
from partners.mail import KEPT, header, printable
from partners.problems import Problem
from partners.store import STORE, Store

PER_PAGE = 50
POPUPS = "allow-popups allow-popups-to-escape-sandbox"  # a link in a mail opens in a tab of its own
CONFINED = {
    "Content-Security-Policy": f"sandbox {POPUPS}; default-src 'none'; style-src 'unsafe-inline'; "
    "img-src data:; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
routes = web.RouteTableDef()


@routes.get("/")
async def inbox(request: web.Request) -> web.Response:
    """The list of mails; `q` searches addresses and subjects."""
    query = request.query.get("q", "").strip()
    wanted = request.query.get("page", "")
    page = max(1, int(wanted)) if re.fullmatch("[0-9]{1,6}", wanted) else 1
    rows = find(request.app[STORE], query, page)
    total = request.app[STORE].execute("SELECT count(*) FROM mails").fetchone()[0]
    links = [("Newer", page - 1)] * (page > 1) + [("Older", page + 1)] * (len(rows) > PER_PAGE)
    content = pages.fill(
        "inbox.html",
        query=query,
        total=f"{total:,}",
        rows=pages.join(mail_row(row) for row in rows[:PER_PAGE]) or pages.fill("no-mails.html"),
        links=pages.join(pages.link("?" + urlencode({"q": query, "page": to}), text) for text, to in links),
    )
    return pages.page("Inbox", content, pages.Html())


def find(store: Store, query: str, page: int) -> list[sqlite3.Row]:
    """The mails of a page, and one more where there is a next page."""
    like = "%" + re.sub(r"([\\%_])", r"\\\1", query) + "%"
    return store.execute(
        r"""SELECT id, at, recipients, subject FROM mails
            WHERE recipients LIKE ?1 ESCAPE '\' OR subject LIKE ?1 ESCAPE '\' OR sender LIKE ?1 ESCAPE '\'
            ORDER BY id DESC LIMIT ?2 OFFSET ?3""",
        (like, PER_PAGE + 1, (page - 1) * PER_PAGE),
    ).fetchall()


def mail_row(row: sqlite3.Row) -> pages.Html:
    """One line of the list."""
    return pages.fill("mail-row.html", **shown(row))


def shown(row: sqlite3.Row) -> dict[str, Any]:
    """A mail's row as the pages show it."""
    return {**row, "at": pages.when(row["at"]), "subject": row["subject"] or "(no subject)"}


@routes.get("/mails/{id:[0-9]{1,18}}/")
async def show(request: web.Request) -> web.Response:
    """One mail with its headers, its HTML, its text and its attachments."""
    row = row_of(request)
    message, mail = parse(row), shown(row)
    html, text, attachments = parts(message)
    content = pages.fill(
        "mail.html",
        **mail,
        from_=header(message, "From") or row["sender"],
        message_id=header(message, "Message-ID"),
        content=pages.join(views(html, text)) if row["raw"] else pages.fill("mail-gone.html", kept=KEPT),
        attachments=pages.join(chip(number, part) for number, part in enumerate(attachments)),
    )
    return pages.page(mail["subject"], content, pages.link("/", "Inbox"))


def views(html: EmailMessage | None, text: EmailMessage | None) -> Iterator[pages.Html]:
    """The mail's HTML in a frame, and its text, folded away where there is HTML."""
    if html is not None:  # a part without headers is false
        yield pages.fill("mail-html.html", popups=POPUPS)
    if text is not None:
        yield pages.fill("mail-text.html", text=text_of(text), open="open" if html is None else "")


def chip(number: int, part: EmailMessage) -> pages.Html:
    """The link to an attachment."""
    size = f"{len(payload(part)) / 1024:,.1f}"
    return pages.fill("attachment.html", number=number, name=name_of(part), size=size)


@routes.get("/mails/{id:[0-9]{1,18}}/html")
async def html_alone(request: web.Request) -> web.Response:
    """A mail's HTML, confined. Links open in new tabs: inside its frame they could lead nowhere."""
    html = parts(parse(row_of(request)))[0]
    if html is None:
        raise Problem(404, "This mail has no HTML.")
    text, base = text_of(html), '<base target="_blank">'
    placed, heads = re.subn(r"(?i)<head[^>]*>", lambda head: head[0] + base, text, count=1)
    return web.Response(text=placed if heads else base + text, content_type="text/html", headers=CONFINED)


@routes.get("/mails/{id:[0-9]{1,18}}/source")
async def source(request: web.Request) -> web.Response:
    """A mail as it came over the wire."""
    headers = CONFINED | {"Content-Type": "text/plain; charset=utf-8"}
    return web.Response(body=row_of(request)["raw"], headers=headers)


@routes.get("/mails/{id:[0-9]{1,18}}/attachments/{number:[0-9]{1,4}}")
async def attachment(request: web.Request) -> web.Response:
    """One attachment, always as a download and never as a page of this address."""
    attachments = parts(parse(row_of(request)))[2]
    number = int(request.match_info["number"])
    if number >= len(attachments):
        raise Problem(404, "This mail has no such attachment.")
    part = attachments[number]
    disposition = f"attachment; filename*=UTF-8''{quote(name_of(part), safe='')}"
    headers = CONFINED | {"Content-Disposition": disposition, "Content-Type": "application/octet-stream"}
    return web.Response(body=payload(part), headers=headers)


def row_of(request: web.Request) -> sqlite3.Row:
    """The mail named in the path. Raises Problem 404."""
    number = request.match_info["id"]
    row = request.app[STORE].execute("SELECT * FROM mails WHERE id = ?", (int(number),)).fetchone()
    if row is None:
        raise Problem(404, f"There is no mail {number}.")
    return row


def parse(row: sqlite3.Row) -> EmailMessage:
    """The mail's content; that of an old one is empty."""
    return message_from_bytes(row["raw"] or b"", policy=policy.default)


def parts(message: EmailMessage) -> tuple[EmailMessage | None, EmailMessage | None, list[EmailMessage]]:
    """The HTML, the text, and everything else."""
    html, text, others = None, None, []
    for part in message.walk():
        attached = part.get_content_disposition() == "attachment" or part.get_filename()
        if part.is_multipart():
            continue
        if part.get_content_type() == "text/html" and not attached and html is None:
            html = part
        elif part.get_content_type() == "text/plain" and not attached and text is None:
            text = part
        else:
            others.append(part)
    return html, text, others


def payload(part: EmailMessage) -> bytes:
    """What a part carries, decoded."""
    content = part.get_payload(decode=True)
    return content if isinstance(content, bytes) else b""


def text_of(part: EmailMessage) -> str:
    """What a part says; bytes that its charset does not know become a replacement sign."""
    try:
        return printable(payload(part).decode(part.get_content_charset("utf-8"), "replace"))
    except (LookupError, ValueError):
        return payload(part).decode("utf-8", "replace")


def name_of(part: EmailMessage) -> str:
    """A file name for an attachment."""
    return printable(part.get_filename() or "attachment").replace("/", "_")
