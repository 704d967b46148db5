"""A person at the console without a browser: pages are parsed, and their forms filled in and sent."""

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin, urlsplit

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.tokens import signed

CONSOLE = "/console/"
ADDRESSES = ("href", "src", "action", "hx-get", "hx-post")


@dataclass
class SentForm:
    """A form of a page: where it is sent, and what it holds."""

    action: str
    method: str
    values: dict[str, list[str]] = field(default_factory=dict)
    buttons: dict[str, tuple[str, str]] = field(default_factory=dict)


class Forms(HTMLParser):
    """Reads the forms and links of a page, as a browser without scripts would send and follow them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.forms: list[SentForm] = []
        self.links: list[str] = []
        self.addresses: list[str] = []
        self.base = ""
        self._select: str | None = None
        self._options: list[tuple[str, bool]] = []
        self._option: dict[str, str | None] | None = None
        self._textarea: str | None = None
        self._button: dict[str, str | None] | None = None
        self._text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.addresses += [given[name] or "" for name in ADDRESSES if name in given]
        match tag:
            case "base":
                self.base = given["href"] or ""
            case "a":
                self.links.append(given.get("href") or "")
            case "form":
                self.forms.append(SentForm(given.get("action") or "", (given.get("method") or "get").lower()))
            case "input" | "select" | "option" | "textarea" | "button":
                self._control(tag, given)

    def _control(self, tag: str, given: dict[str, str | None]) -> None:
        match tag:
            case "input" if self.forms and given.get("name"):
                self._input(given)
            case "select" if self.forms:
                self._select, self._options = given.get("name"), []
            case "option" if self._select:
                self._end_option()
                self._option, self._text = given, ""
            case "textarea":
                self._textarea, self._text = given.get("name"), ""
            case "button":
                self._button, self._text = given, ""

    def handle_data(self, data: str) -> None:
        self._text += data

    def handle_endtag(self, tag: str) -> None:
        match tag:
            case "option" | "select" if self._select:
                self._end_option()
                if tag == "select":
                    self._end_select(self._select)
            case "textarea" if self._textarea:
                self._add(self._textarea, self._text.removeprefix("\n"))
                self._textarea = None
            case "button" if self._button is not None and self.forms:
                name = self._button.get("aria-label") or self._text.strip()
                self.forms[-1].buttons[name] = (self._button.get("name") or "", self._button.get("value") or "")
                self._button = None

    def _input(self, given: dict[str, str | None]) -> None:
        if given.get("type") not in {"checkbox", "radio"} or "checked" in given:
            self._add(str(given["name"]), given.get("value") or ("on" if given.get("type") == "checkbox" else ""))

    def _end_option(self) -> None:
        if self._option is not None:
            value = self._option.get("value")
            self._options.append((self._text.strip() if value is None else value, "selected" in self._option))
            self._option = None

    def _end_select(self, name: str) -> None:
        chosen = [value for value, selected in self._options if selected] or [value for value, _ in self._options[:1]]
        for value in chosen:
            self._add(name, value)
        self._select = None

    def _add(self, name: str, value: str) -> None:
        self.forms[-1].values.setdefault(name, []).append(value)


class Visitor:
    """Somebody with a browser that runs no scripts."""

    def __init__(self, client: FlaskClient, *, role: str | None = "admin", name: str = "ada", prefix: str = "") -> None:
        self.client = client
        self.prefix = prefix
        self.at = f"{prefix}{CONSOLE}"
        self.html = ""
        self.status = 0
        if role is not None:
            self.sign_in(signed(sub=name, role=role))

    def sign_in(self, token: str) -> None:
        self.visit("sign-in")
        self.press("Sign in", token=token)

    def visit(self, path: str) -> "Visitor":
        """Go to a page of the console, by its address below the first one."""
        return self._go(f"{self.prefix}{CONSOLE}{path}")

    def follow(self, text: str) -> "Visitor":
        """Follow the first link with this text or label."""
        pattern = (
            rf'<a\b[^>]*href="([^"]*)"[^>]*?(?:aria-label="{re.escape(text)}")?[^>]*>(?:<[^>]+>)*\s*{re.escape(text)}'
        )
        labelled = rf'<a\b[^>]*href="([^"]*)"[^>]*aria-label="{re.escape(text)}"'
        found = re.search(labelled, self.html) or re.search(pattern, self.html)
        assert found, f"no link {text!r} at {self.at}"
        return self._go(self.address_of(found[1]))

    def press(self, button: str, **values: Any) -> "Visitor":
        """Fill in the form with this button, and send it; None leaves a field out, a list sends it several times."""
        form = self.form(button)
        sent: dict[str, Any] = {**form.values, **values}
        name, value = form.buttons[button]
        if name:
            sent[name] = value
        filled = {key: value for key, value in sent.items() if value is not None}
        answer = self.client.open(self.address_of(form.action), method=form.method.upper(), data=filled)
        return self._arrive(answer, self.address_of(form.action))

    def form(self, button: str) -> SentForm:
        """The form with this button."""
        found = [form for form in Forms(self.html).forms if button in form.buttons]
        assert found, f"no button {button!r} at {self.at}: {self.html}"
        return found[0]

    def address_of(self, link: str) -> str:
        """Where a link of this page leads."""
        return urljoin(urljoin(self.at, Forms(self.html).base), link.replace("&amp;", "&"))

    @property
    def text(self) -> str:
        """What can be read on the page."""
        body = re.sub(r"<title>.*?</title>|<svg.*?</svg>", "", self.html, flags=re.DOTALL)
        words = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", re.sub(r"</(?:td|p|li|h\d|small)>|<br>", " ", body)))
        return words.replace("&#39;", "'").replace("&#34;", '"').replace("&amp;", "&")

    def _go(self, address: str) -> "Visitor":
        return self._arrive(self.client.get(address), address)

    def _arrive(self, answer: TestResponse, address: str) -> "Visitor":
        self.answer = answer
        if answer.status_code == 303:
            to = urljoin(address, answer.headers["Location"])
            assert not urlsplit(answer.headers["Location"]).netloc
            return self._go(to)
        self.at, self.html, self.status = address, answer.get_data(as_text=True), answer.status_code
        return self
