"""What a request's headers must be before anything of it is read, and those that every answer has."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

from toughen.errors import InputError
from toughen.serve.refusals import Message, Refusal, Send

Headers = Mapping[bytes, bytes]

_ALWAYS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
_OWN_SITE = {"cross-origin-resource-policy": "same-origin"}
_KEPT = "600"  # seconds for which a browser keeps the answer to a preflight


def check_framing(headers: Headers) -> None:
    """Refuse a body whose end two servers could see in two places, or that is packed.

    Raises:
        Refusal: 400 or 415.
    """
    if b"transfer-encoding" in headers and b"content-length" in headers:
        sentence = "The request has both Transfer-Encoding and Content-Length; send one of them."
        raise Refusal(400, sentence, connection="close")
    packed = headers.get(b"content-encoding", b"identity").strip().lower()
    if packed not in (b"", b"identity"):
        raise Refusal(415, "The body is packed (Content-Encoding); send it as it is.", connection="close")


def check_json(headers: Headers) -> None:
    """Refuse a body that does not call itself JSON: a page elsewhere can send any other without being asked.

    Raises:
        Refusal: 415.
    """
    kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if kind != b"application/json":
        raise Refusal(415, "The body must be JSON; send it with the header Content-Type: application/json.")


class Origins:
    """Which names the service answers to, and which pages elsewhere may call it.

    Args:
        allowed: origins of such pages, as ``https://example.org``.
        local: whether requests must be for this machine by name or by a number, or for the host of an allowed origin:
            so that a page of a foreign name that was made to point here is refused.

    Raises:
        InputError: if one is no origin.
    """

    def __init__(self, allowed: Collection[str] = (), *, local: bool = False) -> None:
        self._allowed = frozenset(_origin(one) for one in allowed)
        self._local = local
        self._hosts = {urlsplit(one).hostname for one in self._allowed} | {"localhost"}

    def check(self, headers: Headers) -> str | None:
        """Return the foreign origin that asks, None where none does.

        Raises:
            Refusal: 421 or 403.
        """
        host = headers.get(b"host", b"").decode("latin-1").lower()
        if self._local and not self._is_here(host):
            raise Refusal(
                421,
                "The service answers to localhost alone, not to the name in the header Host; a proxy's name is "
                "allowed with --allow-origin.",
            )
        given = headers.get(b"origin")
        if given is None:
            return None
        origin = given.decode("latin-1").lower()
        if origin in self._allowed:
            return origin
        if _bare(origin) == _bare(f"//{host}"):
            return None
        raise Refusal(403, "A page of another origin may not call the service; allow it with --allow-origin.")

    def _is_here(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return name in self._hosts or _is_number(name)


def _is_number(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _origin(given: str) -> str:
    try:
        parts = urlsplit(given.lower())
        whole = (
            parts.scheme in ("http", "https") and parts.hostname and given.lower() == f"{parts.scheme}://{parts.netloc}"
        )
    except ValueError:
        whole = False
    if not whole:
        raise InputError(f"--allow-origin {given} is no origin; give scheme and host, such as https://example.org.")
    return given.lower()


def _bare(url: str) -> str:
    """Return host and port without the port that goes without saying."""
    netloc = url.partition("//")[2]
    return netloc.removesuffix(":443" if url.startswith("https:") else ":80")


def preflight() -> Refusal:
    """Return the answer to a browser that asks whether a page of an allowed origin may call."""
    return Refusal(
        200,
        "",
        access_control_allow_methods="GET, HEAD, POST",
        access_control_allow_headers="authorization, content-type, x-request-id",
        access_control_max_age=_KEPT,
    )


def add_headers(send: Send, origin: str | None, *, head: bool, **more: str) -> Send:
    """Return a `send` that adds what every answer has, and leaves the body out where only headers were asked for.

    Args:
        send: the server's.
        origin: a foreign one that may read the answer.
        head: whether the method is HEAD.
        more: further headers.
    """
    wanted = _ALWAYS | {name.replace("_", "-"): value for name, value in more.items()}
    wanted |= _OWN_SITE if origin is None else {"access-control-allow-origin": origin, "vary": "Origin"}

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = list(message.get("headers", []))
            there = {bytes(name).lower() for name, _ in given}
            given += [(name.encode(), value.encode()) for name, value in wanted.items() if name.encode() not in there]
            message = {**message, "headers": given}
        elif head:
            message = {**message, "body": b""}
        await send(message)

    return sent
