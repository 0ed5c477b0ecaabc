"""Masking personal data and secrets in texts, by rule.

Rules find patterns: e-mail addresses, phone numbers, IBANs (by country and checksum, ISO 13616), credit cards
(by issuer, length and Luhn's checksum), US social security numbers, IP addresses, credentials in URLs, and keys and
tokens of common services. They miss what has no pattern: names, postal addresses, dates of birth, account names. A
masked text is therefore not anonymous; have a person check it before you share it.

A pattern that is as often an ordinary number (four small numbers with dots are a version, ten digits an order) is not
masked: a prompt without its numbers is useless. Every repetition in a rule is bounded, so the time for a text grows
linearly with its length, whatever it contains.
"""

import ipaddress
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from stdnum import iban, luhn

from preceptor.core.types import Message

MISSED = "Rules find patterns only: names, postal addresses and dates of birth are not masked."
"""What every message about masking must add."""
_ISSUERS = re.compile(
    r"4(?:\d{15}|\d{18})|5[1-5]\d{14}|2(?:2[2-9]|[3-6]\d|7[01])\d{13}|3[47]\d{13}|3(?:0[0-5]|[68]\d)\d{11}|35\d{14}"
    r"|6(?:011|4[4-9]\d|5\d\d)\d{12}|62\d{14,17}"
)
_VERSION = re.compile(
    r"(?:(?:\bv|\bver|version|release|build|section|chapter|clause|firmware|driver|§)[\s.:#]{0,3}|[=<>~!]=\s?)$", re.I
)
_DATE = re.compile(r"\d{4}[-/. ]\d{1,2}[-/. ]\d{1,2}(?!\d)|\d{1,2}[-/. ]\d{1,2}[-/. ]\d{4}(?!\d)")
_DECIMAL = re.compile(r"\+?\d{1,20}\.\d{1,20}")
_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_GAP = r"[\s.:#=]{0,4}"
_JOINED = rf"(?:(?:number|no|nr|me|us|him|her|them|at|on|is|to|under)\b{_GAP})"
_CUE = (
    rf"\b(?:(?:tel|telephone|telefon|phone|mobile|cell|handy|whatsapp|fax)\b{_GAP}{_JOINED}{{0,4}}"
    rf"|(?:call|ring|text|sms)\b{_GAP}{_JOINED}{{1,4}})"
)
_KEY = (
    r"(?<![\w-])((?:sk|pk|rk)-[\w-]{16,200}|(?:sk|pk|rk)_(?:live|test)_[A-Za-z0-9]{10,200}|gh[pousr]_[A-Za-z0-9]{20,255}"
    r"|github_pat_\w{20,255}|glpat-[\w-]{20,64}|(?:AKIA|ASIA)[0-9A-Z]{16}|xox[abeprs]-[A-Za-z0-9-]{10,250}"
    r"|AIza[\w-]{35}|hf_[A-Za-z0-9]{20,64}|npm_[A-Za-z0-9]{36}|eyJ[\w-]{6,4096}+\.[\w-]{6,8192}+\.[\w-]{6,1024})(?![\w-])"
)
_PRIVATE_KEY = (
    r"(-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----(?:[^-]|-(?!----)){1,16384}+-----END [A-Z ]{0,30}PRIVATE KEY-----)"
)
_CARD = (
    r"(?<![\w+-])(?<!\d\.)(\d{13,19}|\d{4}([ -])\d{4}\2\d{4}\2\d{4}(?:\2\d{3})?|\d{4}([ -])\d{6}\3\d{4,5})"
    r"(?!\w|[.-]\d)"
)
_QUERY = (
    r"[?&](?:access_?token|token|api_?key|apikey|key|secret|client_secret|password|passwd|pwd|sig|signature|auth"
    r"|session|sid|x-amz-(?:signature|credential|security-token))=(?!\[)([^\s&#\"'<>)\]]{4,2048})"
)


@dataclass(frozen=True)
class Rule:
    """A pattern, and what tells personal data from ordinary text of the same pattern."""

    kind: str
    needs: str
    """A text without this string has no match, which saves the search."""
    pattern: re.Pattern[str]
    """Its first group is the value."""
    end: Callable[[re.Match[str]], int | None]
    """Where the value ends in the text; None if the match is not personal data."""


def _whole(match: re.Match[str]) -> int | None:
    return match.end(1)


def _with_digit(match: re.Match[str]) -> int | None:
    return match.end(1) if any(c.isdigit() for c in match[1]) else None


def _credentials(match: re.Match[str]) -> int | None:
    return None if match[1] == "git" else match.end(1)  # the user name of everybody in ssh://git@host/


def _mail(match: re.Match[str]) -> int | None:
    name, _, domain = match[1].partition("@")
    is_version = re.match(r"\d{1,9}\.\d{1,9}\b", domain)  # package@18.2.0-beta.next
    return None if name == "git" or is_version else match.end(1)


def _iban(match: re.Match[str]) -> int | None:
    """The end of the last word up to which the match is an IBAN; the shortest has 15 characters."""
    text, start = match.string, match.start(1)
    ends = [end for end in range(start + 15, match.end(1) + 1) if text[end - 1].isalnum() and not _is_alnum(text, end)]
    return next((end for end in reversed(ends) if iban.is_valid(text[start:end], check_country=False)), None)


def _is_alnum(text: str, position: int) -> bool:
    return text[position : position + 1].isalnum()


def _card(match: re.Match[str]) -> int | None:
    digits = re.sub(r"\D", "", match[1])
    return match.end(1) if _ISSUERS.fullmatch(digits) and luhn.is_valid(digits) else None


def _ipv4(match: re.Match[str]) -> int | None:
    address = ipaddress.IPv4Address(match[1])
    parts = [int(part) for part in match[1].split(".")]
    ordinary = max(parts) < 10 or parts[0] == 255 or address.is_loopback or address.is_unspecified
    before = match.string[max(0, match.start(1) - 12) : match.start(1)]
    return None if ordinary or _VERSION.search(before) else match.end(1)


def _ipv6(match: re.Match[str]) -> int | None:
    text = match[1].rstrip(".")
    text = text if text.endswith("::") else text.rstrip(":")
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        return None
    first, *others = [part for part in text.split(":") if part] or [""]
    is_name = len(others) < 2 and not (len(first) > 2 and any(c.isdigit() for c in first))  # a scope such as A::b
    return None if is_name or address.is_loopback else match.start(1) + len(text)


def _phone(match: re.Match[str]) -> int | None:
    return None if _DATE.match(match[1]) or _DECIMAL.fullmatch(match[1]) else match.end(1)


def _rule(kind: str, needs: str, pattern: str, end: Callable[[re.Match[str]], int | None] = _whole) -> Rule:
    return Rule(kind, needs, re.compile(pattern, re.ASCII if kind not in {"EMAIL", "PHONE"} else 0), end)


RULES: tuple[Rule, ...] = (
    _rule("KEY", "PRIVATE KEY", _PRIVATE_KEY),
    _rule("KEY", "", _KEY, _with_digit),
    _rule("KEY", "earer", r"\b[Bb]earer[ \t:]{1,4}([\w.~+/=-]{16,4096})", _with_digit),
    _rule("CREDENTIALS", "://", r"://([^\s/?#]{1,256})@", _credentials),
    _rule("SECRET", "=", rf"(?i:{_QUERY})"),
    _rule("EMAIL", "@", r"([\w.+%-]{1,64}@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24})(?![\w(])", _mail),
    _rule("IBAN", "", r"(?<![A-Za-z0-9])(?=((?i:[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]){11,30})))", _iban),
    _rule(
        "CARD",
        "",
        _CARD,
        _card,
    ),
    _rule("SSN", "-", r"(?<![\w-])((?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4})(?![\w-])"),
    _rule("IP", ".", rf"(?<![\w.])((?:{_OCTET}\.){{3}}{_OCTET})(?!\w|[.-]\d)", _ipv4),
    _rule("IP", ":", r"(?<![\w:.])([0-9A-Fa-f:.]{3,46}+)(?![\w:])", _ipv6),
    _rule("PHONE", "+", r"(?<![\w+])(\+[1-9](?:[ .\-/()]{0,2}\d){7,14})(?!\d)", _phone),
    _rule(
        "PHONE",
        "",
        r"(?<![\w.+-])((?:1[-. ])?(?:\([2-9]\d\d\) ?\d{3}[-. ]|[2-9]\d\d(?:-\d{3}-|\.\d{3}\.))\d{4})(?!\w|[.-]\d)",
    ),
    _rule("PHONE", "0", r"(?<![\w.,+-])(?<!\d )(0\d{2,4}[ /-]\d{3,4}[ -]?\d{3,5})(?!\w|[ .,-]\d)"),
    _rule("PHONE", "0", r"(?<![\w.,+-])(?<!\d )(0[1-9](?:[ .-]\d\d){4})(?!\w|[ .,-]\d)"),
    _rule("PHONE", "", rf"(?i:{_CUE})(\(?\d(?:[ .\-/()]{{0,2}}\d){{6,14}})(?!\d|[.,]\d)", _phone),
)
"""In order of precedence: of two overlapping matches, that of the earlier rule counts."""


class Mask:
    """Masks the texts of one conversation. A value is replaced by its kind and a number, as in `[EMAIL 1]`, and an
    equal value by the same number everywhere, so that the text can still be followed.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        """Replacements by kind."""
        self._numbers: dict[str, dict[str, int]] = {}

    def text(self, text: str) -> str:
        """The text with all matches replaced."""
        parts: list[str] = []
        done = 0
        for start, end, kind in _spans(text):
            known = self._numbers.setdefault(kind, {})
            number = known.setdefault(_same(kind, text[start:end]), len(known) + 1)
            parts += [text[done:start], f"[{kind} {number}]"]
            self.counts[kind] += 1
            done = end
        return "".join([*parts, text[done:]])

    def message(self, message: Message) -> Message:
        """The message with its text and the arguments of its tool calls masked."""
        calls = tuple(
            call.model_copy(
                update={"function": call.function.model_copy(update={"arguments": self.text(call.function.arguments)})}
            )
            for call in message.tool_calls
        )
        return message.model_copy(update={"content": self.text(message.content), "tool_calls": calls})


@lru_cache(maxsize=64)  # instructions are the same in thousands of conversations
def _spans(text: str) -> tuple[tuple[int, int, str], ...]:
    """Start, end and kind of each value, in order."""
    taken, spans = bytearray(len(text)), list[tuple[int, int, str]]()
    for rule in RULES:
        for match in rule.pattern.finditer(text) if rule.needs in text else ():
            start, end = match.start(1), rule.end(match)
            if end is not None and not any(taken[start:end]):
                taken[start:end] = b"\1" * (end - start)
                spans.append((start, end, rule.kind))
    return tuple(sorted(spans))


def _same(kind: str, value: str) -> str:
    """A form that equal values share: cards, IBANs and phone numbers without spaces, e-mails in one case."""
    if kind in {"CARD", "IBAN", "PHONE"}:
        return "".join(c for c in value if c.isalnum()).upper()
    return value.casefold() if kind == "EMAIL" else value
