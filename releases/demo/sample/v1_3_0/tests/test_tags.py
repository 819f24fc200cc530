"""Tags and the export."""

from conftest import Client


def made(client: Client, title: str) -> int:
    return client.ask("POST", "/datasets", {"title": title})[1]["id"]


def test_it_tags_a_dataset(client: Client) -> None:
    number = made(client, "rain")
    for tag in ("weather", "water", "weather"):
        assert client.ask("POST", f"/datasets/{number}/tags", {"tag": tag}) == (201, {"tag": tag})
    assert client.ask("GET", f"/datasets/{number}/tags") == (200, {"tags": ["water", "weather"]})


def test_it_refuses_a_tag_without_text_or_dataset(client: Client) -> None:
    assert client.ask("POST", f"/datasets/{made(client, 'rain')}/tags", {"tag": " "})[0] == 400
    assert client.ask("POST", "/datasets/999999/tags", {"tag": "weather"})[0] == 404


def test_it_exports_no_more_than_the_limit(client: Client) -> None:
    for number in range(12):
        made(client, f"rain {number}")
    status, page = client.ask("GET", "/datasets/export")
    assert status == 200
    assert page.splitlines()[0] == "id,title,row_count"
    assert len(page.splitlines()) == 11
