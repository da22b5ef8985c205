"""A campaign's Markdown, which may hold HTML, as the two parts of a mail: nothing that runs, loads or tracks.

No pictures: a mail has to look right without them, and one from elsewhere tells its host who reads.
"""

import re
from functools import lru_cache
from html import unescape

import nh3
from django.conf import settings
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt

TAGS = {
    "a", "b", "blockquote", "br", "code", "del", "em", "h1", "h2", "h3", "h4", "hr", "i", "li", "ol", "p", "pre", "s",
    "strong", "table", "tbody", "td", "th", "thead", "tr", "u", "ul",
}  # fmt: skip
SERIF = "font-family:'Iowan Old Style','Palatino Linotype',Palatino,'Book Antiqua',Georgia,serif;line-height:1.25;"
CELL = {"style": "padding:4px 16px 4px 0;text-align:left;"}
LOOKS = {  # inline, as the layout's own
    "a": {"class": "link", "style": "color:#1f5f3b;"},
    "h1": {"style": f"{SERIF}margin:0 0 12px;font-size:24px;"},
    "h2": {"style": f"{SERIF}margin:24px 0 8px;font-size:20px;"},
    "td": CELL,
    "th": CELL,
}
AUTOLINK = re.compile(r"<((?:https?://|mailto:)[^\s<>]+)>")
PICTURE = re.compile(r"!\[([^\[\]]*)\]\([^()]*\)")
markdown = MarkdownIt("commonmark").enable(["table", "strikethrough"])


@lru_cache(maxsize=8)  # a worker sends one campaign's mails in a row
def html(body: str) -> SafeString:
    """The HTML part. Links lead to the web or a mailbox; "/products/" is of this shop."""
    clean = nh3.clean(
        markdown.render(body),
        tags=TAGS,
        attributes={"a": {"href", "title"}},
        link_rel="noopener noreferrer",
        url_schemes={"http", "https", "mailto"},
        url_relative=("rewrite_with_base", settings.SITE_URL),
        set_tag_attribute_values=LOOKS,
    )
    return mark_safe(clean)  # noqa: S308 - nh3 cleaned it


def empty(body: str) -> bool:
    """Whether a reader sees no word of it: a script, a picture or a line alone."""
    return not unescape(nh3.clean(html(body), tags=set())).strip()


def text(body: str) -> str:
    """The plain part: the Markdown as it was written, without tags and pictures, and with whole links."""
    whole = AUTOLINK.sub(r"\1", PICTURE.sub(r"\1", body)).replace("](/", f"]({settings.SITE_URL}/")
    return unescape(nh3.clean(whole, tags=set()))
