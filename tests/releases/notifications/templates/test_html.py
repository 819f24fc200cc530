"""The HTML of a notification has the content of its text and executes nothing."""

from __future__ import annotations

from releases.notifications.templates.html import html_of


def test_html_is_escaped_and_links_only_to_the_page() -> None:
    page = html_of(
        "<b>s</b>", "a <a href='https://evil.example'>x</a>\nb\n\n- one\n- two", "https://ringi.example/1/", "en"
    )
    assert page.count("<a ") == 1 and 'href="https://ringi.example/1/"' in page
    assert "&lt;a href" in page and "<b>" not in page
    assert "<li>one</li><li>two</li>" in page and "<br>b</p>" in page
    assert '<html lang="en">' in page and "Ringi sent this notification" in page


def test_external_recipients_get_no_link_and_no_mention_of_approval() -> None:
    page = html_of("件名", "本文", "", "ja")
    assert "href" not in page and "Ringi からの自動送信です。" in page and "承認" not in page
    assert "承認" in html_of("件名", "本文", "https://ringi.example/1/", "ja")
