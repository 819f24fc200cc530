"""The HTML of an e-mail, made from its plain text: all of it is escaped, and the only link is the page's."""

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _, override

# Mail programs ignore style sheets.
BODY = "margin:0;background:#f6f7f9;color:#1c2430;font:15px/1.7 system-ui,'Hiragino Sans','Noto Sans CJK JP',sans-serif"
CARD = "max-width:600px;margin:0 auto;padding:28px;background:#ffffff"
BUTTON = (
    "display:inline-block;padding:10px 22px;border-radius:8px;background:#5b3fd6;color:#ffffff;text-decoration:none"
)


def html_of(subject: str, text: str, url: str, language: str) -> str:
    """Return a whole HTML page (UTF-8) with the content of the text."""
    with override(language):
        # A recipient without a link is external and approves nothing.
        button, foot = "", _("Ringi sent this notification.")
        if url:
            link = '<p style="margin:24px 0 8px"><a style="{}" href="{}">{}</a></p>'
            button = format_html(link, BUTTON, url, _("Open the page"))
            foot = _("Ringi sent this notification. A reply does not count as an approval. Open the page to act.")
    return format_html(
        '<!doctype html><html lang="{}"><head><meta charset="utf-8"><title>{}</title></head><body style="{}">'
        '<div style="{}"><h1 style="font-size:19px;margin:0 0 16px">{}</h1>{}{}'
        '<p style="color:#5c6675;font-size:12.5px;margin:24px 0 0">{}</p></div></body></html>',
        language,
        subject,
        BODY,
        CARD,
        subject,
        _paragraphs(text),
        button,
        foot,
    )


def _paragraphs(text: str) -> SafeString:
    parts = []
    for block in text.strip().split("\n\n"):
        lines = block.splitlines()
        if lines and all(line.startswith("- ") for line in lines):
            items = format_html_join("", "<li>{}</li>", ((line[2:],) for line in lines))
            parts.append(format_html('<ul style="margin:0 0 14px;padding-left:20px">{}</ul>', items))
        else:
            joined = format_html_join(mark_safe("<br>"), "{}", ((line,) for line in lines))
            parts.append(format_html('<p style="margin:0 0 14px">{}</p>', joined))
    return format_html_join("", "{}", ((part,) for part in parts))
