"""The inbox: every mail, SMS and push message that the partners accepted, newest first.

A mail's HTML runs no script, loads nothing and can't reach our pages. Its frame is sandboxed, and its response
carries the same policy for a browser that opens it directly.
"""

import re
import sqlite3
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any
from urllib.parse import quote, urlencode

from aiohttp import web

from partners import pages
from partners.mail import header, printable
from partners.problems import Problem
from partners.store import KEPT, STORE, Store

PER_PAGE = 50
KINDS = {"": "All", "mail": "Mail", "sms": "SMS", "push": "Push"}
POPUPS = "allow-popups allow-popups-to-escape-sandbox"  # links in a mail open in a new tab
CONFINED = {
    "Content-Security-Policy": f"sandbox {POPUPS}; default-src 'none'; style-src 'unsafe-inline'; "
    "img-src data:; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
routes = web.RouteTableDef()


@routes.get("/")
async def inbox(request: web.Request) -> web.Response:
    """The list of messages. `q` searches recipients and texts, `kind` is a channel."""
    query, kind = request.query.get("q", "").strip(), request.query.get("kind", "")
    wanted = request.query.get("page", "")
    page = max(1, int(wanted)) if re.fullmatch("[0-9]{1,6}", wanted) else 1
    rows = find(request.app[STORE], query, kind, page)
    total = request.app[STORE].execute("SELECT count(*) FROM mails WHERE ? IN ('', channel)", (kind,)).fetchone()[0]
    return pages.render(
        "inbox.html",
        title="Inbox",
        query=query,
        kind=kind,
        kinds=[(name, label, link(query, name)) for name, label in KINDS.items()],
        names=KINDS,
        total=total,
        mails=[shown(row) for row in rows[:PER_PAGE]],
        newer=page > 1 and link(query, kind, page - 1),
        older=len(rows) > PER_PAGE and link(query, kind, page + 1),
    )


def link(query: str, kind: str, page: int = 1) -> str:
    """The address of a page of the list."""
    wanted = {"q": query, "kind": kind, "page": page if page > 1 else ""}
    return "/?" + urlencode({name: value for name, value in wanted.items() if value})


def find(store: Store, query: str, kind: str, page: int) -> list[sqlite3.Row]:
    """The messages of a page, and one more if there is a next page."""
    like = "%" + re.sub(r"([\\%_])", r"\\\1", query) + "%"
    return store.execute(
        r"""SELECT id, at, channel, recipients, subject FROM mails WHERE ?4 IN ('', channel) AND
            (recipients LIKE ?1 ESCAPE '\' OR subject LIKE ?1 ESCAPE '\' OR sender LIKE ?1 ESCAPE '\')
            ORDER BY id DESC LIMIT ?2 OFFSET ?3""",
        (like, PER_PAGE + 1, (page - 1) * PER_PAGE, kind),
    ).fetchall()


def shown(row: sqlite3.Row) -> dict[str, Any]:
    """A mail's row with a readable time and subject."""
    return {**row, "at": pages.readable(row["at"]), "subject": row["subject"] or "(no subject)"}


@routes.get("/mails/{id:[0-9]{1,18}}/")
async def show(request: web.Request) -> web.Response:
    """One mail with its headers, HTML, text and attachments; or the text of another message."""
    row = row_of(request)
    if row["channel"] != "mail":
        lines = (row["raw"] or b"").decode().splitlines()
        return pages.render("message.html", title=KINDS[row["channel"]], mail=shown(row), lines=lines, kept=KEPT)
    message, mail = parse(row), shown(row)
    html, text, attachments = parts(message)
    return pages.render(
        "mail.html",
        title=mail["subject"],
        mail=mail,
        sender=header(message, "From") or row["sender"],
        message_id=header(message, "Message-ID"),
        attachments=[(name_of(part), len(payload(part)) / 1024) for part in attachments],
        has_html=html is not None,  # a part without headers is false
        text=None if text is None else text_of(text),
        popups=POPUPS,
        kept=KEPT,
    )


@routes.get("/mails/{id:[0-9]{1,18}}/html")
async def html_alone(request: web.Request) -> web.Response:
    """A mail's HTML, sandboxed. Its links open in new tabs, since the sandboxed frame can't follow them."""
    html = parts(parse(row_of(request)))[0]
    if html is None:
        raise Problem(404, "This mail has no HTML.")
    text, base = text_of(html), '<base target="_blank">'
    placed, heads = re.subn(r"(?i)<head[^>]*>", lambda head: head[0] + base, text, count=1)
    return web.Response(text=placed if heads else base + text, content_type="text/html", headers=CONFINED)


@routes.get("/mails/{id:[0-9]{1,18}}/source")
async def source(request: web.Request) -> web.Response:
    headers = CONFINED | {"Content-Type": "text/plain; charset=utf-8"}
    return web.Response(body=row_of(request)["raw"], headers=headers)


@routes.get("/mails/{id:[0-9]{1,18}}/attachments/{number:[0-9]{1,4}}")
async def attachment(request: web.Request) -> web.Response:
    """One attachment, always as a download, never as a page."""
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
    """The parsed mail. It is empty if the content was deleted, and for another message."""
    return message_from_bytes(row["raw"] if row["channel"] == "mail" and row["raw"] else b"", policy=policy.default)


def parts(message: EmailMessage) -> tuple[EmailMessage | None, EmailMessage | None, list[EmailMessage]]:
    """The HTML part, the text part, and all other parts."""
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
    content = part.get_payload(decode=True)
    return content if isinstance(content, bytes) else b""


def text_of(part: EmailMessage) -> str:
    """A part's text, with a replacement character for bytes that its charset can't decode."""
    try:
        return printable(payload(part).decode(part.get_content_charset("utf-8"), "replace"))
    except (LookupError, ValueError):
        return payload(part).decode("utf-8", "replace")


def name_of(part: EmailMessage) -> str:
    """An attachment's file name, without slashes."""
    return printable(part.get_filename() or "attachment").replace("/", "_")
