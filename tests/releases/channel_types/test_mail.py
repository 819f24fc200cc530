"""Mail over a real SMTP server: both parts, its headers, and the meaning of refusals."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from releases.channel_types.base import Address, NotDelivered, NotSetUp
from releases.channel_types.mail import Mail
from tests.releases.channel_types.messages import message
from tests.releases.channel_types.receivers import MailHost, mail_host, use_mail

TO = Address("sato@users.example")


@pytest.fixture
def host(settings: Any) -> Iterator[MailHost]:
    """The server, known to Django."""
    with mail_host() as running:
        use_mail(settings, running)
        yield running


def test_a_mail_arrives_with_equal_text_and_html(host: MailHost) -> None:
    assert Mail().send(message(), TO)
    (mail,) = host.mails
    assert host.to == ["sato@users.example"] and mail["Subject"] == "【リリース予定】データセット基盤 1.3.0"
    text = mail.get_body(("plain",)).get_content()
    html = mail.get_body(("html",)).get_content()
    for part in (text, html):
        assert "次の時間帯にリリースします。" in part and "https://ringi.example/admin/release/7/" in part
    assert "<li>&lt;script&gt;を含む題名</li>" in html and "<script" not in html
    assert mail["From"] == "Ringi <ringi@releases.example>" and mail["Content-Language"] == "ja"


def test_each_attempt_has_the_same_message_id_and_is_marked_auto_generated(host: MailHost) -> None:
    for _try in range(2):
        Mail().send(message(), TO)
    assert {mail["Message-ID"] for mail in host.mails} == {"<msg_2b1f@releases.example>"}
    assert {mail["Auto-Submitted"] for mail in host.mails} == {"auto-generated"}


def test_a_line_break_in_a_subject_adds_no_header(host: MailHost) -> None:
    Mail().send(message(subject="one\nBcc: everyone@users.example"), TO)
    assert host.mails[0]["Bcc"] is None and host.to == ["sato@users.example"]


def test_an_unknown_mailbox_is_refused_finally_and_a_full_one_temporarily(host: MailHost) -> None:
    host.refuses = {"sato@users.example": "550 5.1.1 no such user", "full@users.example": "452 4.2.2 full"}
    with pytest.raises(NotDelivered, match=r"550 5\.1\.1 no such user") as gone:
        Mail().send(message(), TO)
    with pytest.raises(NotDelivered, match="452") as full:
        Mail().send(message(), Address("full@users.example"))
    assert (gone.value.lasting, full.value.lasting) == (True, False)


@pytest.mark.parametrize(
    ("answer", "lasting", "whose"),
    [
        ("550 5.1.1 no such user", True, "recipient"),
        ("550 5.2.1 mailbox disabled", True, "recipient"),
        ("550 No such user here", True, "recipient"),
        ("551 user unknown", True, "recipient"),
        ("554 5.7.1 relay access denied", False, "either"),
        ("550 5.1.8 bad sender address", False, "either"),
        ("550 blocked", False, "either"),
        ("552 5.2.2 mailbox full", False, "either"),
        ("450 4.2.0 greylisted", False, "recipient"),
        ("451 4.3.0 try later", False, "either"),
        ("421 4.3.2 closing", False, "channel"),
    ],
)
def test_only_a_missing_mailbox_is_the_fault_of_the_address(
    host: MailHost, answer: str, lasting: bool, whose: str
) -> None:
    host.everybody = answer
    with pytest.raises(NotDelivered) as fault:
        Mail().send(message(), TO)
    assert (fault.value.lasting, fault.value.whose) == (lasting, whose)


def test_a_refused_text_is_no_fault_of_the_address(host: MailHost) -> None:
    host.data = "554 5.7.1 looks like spam"
    with pytest.raises(NotDelivered, match="spam") as fault:
        Mail().send(message(), TO)
    assert not fault.value.lasting and not host.mails


def test_an_unreachable_server_is_tried_again(settings: Any) -> None:
    with mail_host() as running:
        use_mail(settings, running)
    with pytest.raises(NotDelivered) as fault:
        Mail().send(message(), TO)
    assert not fault.value.lasting


def test_mail_is_not_available_without_a_server(settings: Any) -> None:
    settings.MAIL_HOST = ""
    with pytest.raises(NotSetUp):
        Mail().send(message(), TO)


def test_mail_goes_only_to_listed_domains(host: MailHost) -> None:
    elsewhere = Address("sato@users.example", hosts=("partners.example",))
    assert "users.example" in Mail().fault(elsewhere)
    with pytest.raises(NotDelivered):
        Mail().send(message(), elsewhere)
    assert not host.mails
    assert Mail().fault(Address("no address")) and not Mail().fault(
        Address("a@partners.example", hosts=("partners.example",))
    )
