"""The language of a page: the signed-in person's own, else the browser's; and lists in the present language."""

from collections.abc import Callable, Iterable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import translation
from django.utils.functional import lazy


def language() -> str:
    """Return the reader's language, ja or en."""
    return translation.get_language() or "ja"


def _in_language(en: str, ja: str) -> str:
    return ja if translation.get_language() == "ja" else en


# A text in both languages, such as a file holds it: that of the language in which it is shown.
bilingual = lazy(_in_language, str)


def listed(items: Iterable[object]) -> str:
    """Return the items as a list inside a sentence of the present language: 、 in Japanese, else a comma."""
    return ("、" if translation.get_language() == "ja" else ", ").join(map(str, items))


def labelled(label: object, value: object) -> str:
    """Return a label with its value, the colon between them as the present language writes it."""
    return f"{label}{'：' if translation.get_language() == 'ja' else ': '}{value}"


def noted(text: object, note: object) -> str:
    """Return a text with a note in brackets, full width in Japanese."""
    return f"{text}（{note}）" if translation.get_language() == "ja" else f"{text} ({note})"


class LanguageMiddleware:
    """Choose the language from the cookie that follows the account, else from Accept-Language."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Activate the language for one request."""
        language = request.COOKIES.get(settings.LANGUAGE_COOKIE_NAME) or translation.get_language_from_request(request)
        with translation.override(language if language in dict(settings.LANGUAGES) else settings.LANGUAGE_CODE):
            request.LANGUAGE_CODE = translation.get_language()  # type: ignore[attr-defined]
            response = self.get_response(request)
            response.headers.setdefault("Content-Language", translation.get_language() or settings.LANGUAGE_CODE)
        return response
