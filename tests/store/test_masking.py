"""What is masked, and what must not be."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from preceptor.core.types import FunctionCall, Message, ToolCall
from preceptor.store.masking import RULES, Mask

_parser: Any = re._parser  # type: ignore[attr-defined]
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P"
PERSONAL = [
    ("write to ada@example.org", "write to [EMAIL 1]"),
    ("Ada.Lovelace+news@mail.example.co.uk, please", "[EMAIL 1], please"),
    ("(mailto:o_hara@example.museum).", "(mailto:[EMAIL 1])."),
    ("мария@пример.рф schrieb", "[EMAIL 1] schrieb"),
    ("me@163.com", "[EMAIL 1]"),
    ("+1 (555) 123-4567", "[PHONE 1]"),
    ("Reach me: +49 (0) 30 901820.", "Reach me: [PHONE 1]."),
    ("+4915112345678", "[PHONE 1]"),
    ("+33 6 12 34 56 78", "[PHONE 1]"),
    ("(415) 555-2671 or 415-555-2672", "[PHONE 1] or [PHONE 2]"),
    ("1-800-555-0199", "[PHONE 1]"),
    ("415.555.2671", "[PHONE 1]"),
    ("020 7946 0958", "[PHONE 1]"),
    ("07700 900123", "[PHONE 1]"),
    ("030/901820", "[PHONE 1]"),
    ("06 12 34 56 78", "[PHONE 1]"),
    ("My phone number is 415 555 2671", "My phone number is [PHONE 1]"),
    ("call me on 5552671", "call me on [PHONE 1]"),
    ("Tel.: 89 12345-67", "Tel.: [PHONE 1]"),
    ("DE89 3704 0044 0532 0130 00", "[IBAN 1]"),
    ("to GB82WEST12345698765432 today", "to [IBAN 1] today"),
    ("fr14 2004 1010 0505 0001 3m02 606 AND MORE", "[IBAN 1] AND MORE"),
    ("4111 1111 1111 1111 12/26", "[CARD 1] 12/26"),
    ("5555555555554444", "[CARD 1]"),
    ("3782-822463-10005", "[CARD 1]"),
    ("SSN 219-09-9999", "SSN [SSN 1]"),
    ("from 203.0.113.77:8080", "from [IP 1]:8080"),
    ("192.168.1.10/24", "[IP 1]/24"),
    ("call 192.168.100.20", "call [IP 1]"),
    ("2001:db8:85a3::8a2e:370:7334.", "[IP 1]."),
    ("fe80::1", "[IP 1]"),
    ("https://ada:s3cret@example.org/x", "https://[CREDENTIALS 1]@example.org/x"),
    ("postgres://user:p@ss@db:5432/x", "postgres://[CREDENTIALS 1]@db:5432/x"),
    ("https://x.org/?a=1&access_token=abc123&b=2", "https://x.org/?a=1&access_token=[SECRET 1]&b=2"),
    ("https://x.org/f?X-Amz-Signature=0af3", "https://x.org/f?X-Amz-Signature=[SECRET 1]"),
    ("sk-proj-Ab3dEf6hIj9kLm2nOp", "[KEY 1]"),
    ("ghp_" + "a1B2" * 9, "[KEY 1]"),
    ("AKIAIOSFODNN7EXAMPLE", "[KEY 1]"),
    ("xoxb-123456789012-abcdefABCDEF", "[KEY 1]"),
    (f"token {JWT}!", "token [KEY 1]!"),
    (f"Authorization: Bearer {JWT}", "Authorization: Bearer [KEY 1]"),
    ("authorization: bearer abcdef0123456789abcdef", "authorization: bearer [KEY 1]"),
    ("-----BEGIN RSA PRIVATE KEY-----\nMIIE+/=\n-----END RSA PRIVATE KEY-----", "[KEY 1]"),
]
ORDINARY = [
    "In 1969, 1970 and 2024",
    "It cost $1,299.99, then €1.299,99 and 1 299 kr",
    "Python 3.11.4 and pip 23.2.1",
    "Chrome 120.0.6099.109 on Windows 10.0.19041.1",
    "version 10.20.30.40, v12.1.0.3, see section 12.4.1.3",
    "assembly 1.2.3.4",
    "listen on 127.0.0.1 or 0.0.0.0 with mask 255.255.255.0",
    "ISBN 978-3-16-148410-0",
    "ISBN-10 0-306-40615-2 and 0306406152",
    "EAN 4006381333931",
    "on 2023-09-20 at 10:30:45, or 20/09/2023, or 20.09.2023",
    "the phone was released on 2019-09-20",
    "call at 10:30",
    "text me on 20/09/2023 10:30 or call me on 2023-09-20",
    "call 911",
    "malloc(text=2310144, cell=3)",
    "typing-extensions>=4.10.0.0",
    "2024-05-12T10:30:45.123Z",
    "1700000000, 1700000000123 and 1700000000123456789",
    "3.14159265358979 and -2.718281828 and +3.14159265",
    "6.022e+23",
    "12345678901234567890",
    "order 112-1234567-1234567",
    "0x7ffee4bff8c0",
    "550e8400-e29b-41d4-a716-446655440000",
    "4111 1111 1111 1112",  # Luhn's checksum is wrong
    "4111111111111112",
    "DE88 3704 0044 0532 0130 00",  # and this one's
    "000-12-3456, 666-12-3456, 123-45-67890",
    "ZIP 02139-4307",
    "the score was 21-19, 18-21, 21-17",
    "std::vector<int> and A::B and abc::def() and ::1",
    "00:1B:44:11:3A:B7",
    "@property and @app.route('/x')",
    "A @ B.T and A@B.T and x@w.sum()",
    "npm install react@18.2.0-beta.next",
    "git clone git@github.com:a/b.git and ssh://git@host/x",
    "https://example.org/a/b?page=2&code=404&q=token",
    "https://medium.com/@ada/title-123456",
    "pip install sk-learn-contrib-project",
    "a bearer of responsibilities",
    "sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "1 2 3 4 5 6 7 8 9 10 11 12",
    "1 000 000 000 people",
    "GRE 170, IELTS 7.5, 90 %",
    "f(x) = (200) 300 + 4000",
    "10.1000/xyz123 and arXiv 2309.00267",
]


@pytest.mark.parametrize(("text", "masked"), PERSONAL)
def test_personal_data_is_masked(text: str, masked: str) -> None:
    mask = Mask()
    assert mask.text(text) == masked
    assert sum(mask.counts.values()) == masked.count("[")
    assert Mask().text(masked) == masked


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_numbers_and_names_stay(text: str) -> None:
    assert Mask().text(text) == text


def test_equal_values_have_one_number_throughout_a_conversation() -> None:
    mask = Mask()
    assert mask.text("a@x.org told b@x.org, and b@x.org told A@X.org") == (
        "[EMAIL 1] told [EMAIL 2], and [EMAIL 2] told [EMAIL 1]"
    )
    call = ToolCall(function=FunctionCall(name="send", arguments='{"to": "c@x.org", "cc": "b@x.org"}'))
    message = mask.message(Message(role="assistant", content="+1 415 555 2671, +1 (415) 555-2671", tool_calls=(call,)))
    assert message.content == "[PHONE 1], [PHONE 1]"
    assert message.tool_calls[0].function.arguments == '{"to": "[EMAIL 3]", "cc": "[EMAIL 2]"}'
    assert mask.counts == {"EMAIL": 6, "PHONE": 2}
    assert Mask().text("b@x.org") == "[EMAIL 1]"


@pytest.mark.parametrize(
    "text",
    [
        "a" * 200_000,
        "a." * 100_000 + "@",
        "a@" * 100_000,
        "a@" + "b." * 100_000,
        "1" * 200_000,
        "1 " * 100_000,
        "+1" + " (" * 100_000,
        "DE89 " * 40_000,
        "eyJ" + "a" * 200_000,
        "eyJaaaaaaa." * 18_000,
        "://" * 66_000,
        "https://" + "a:" * 100_000,
        "?token=" * 28_000,
        "1.1.1." * 33_000,
        ":" * 200_000,
        "a:" * 100_000,
        "call me at " * 18_000,
        "-----BEGIN PRIVATE KEY-----" * 7_000,
        "-----BEGIN PRIVATE KEY-----" + "a" * 200_000,
        "bearer " * 28_000,
    ],
    ids=lambda text: text[:12],
)
def test_a_long_hostile_text_is_read_to_its_end(text: str) -> None:
    assert Mask().text(text + " x@y.org").endswith("[EMAIL 1]")


def repeats(pattern: Any, within: int = 1) -> Iterator[int]:
    """For each repetition in a pattern, how often it and those around it may repeat what is in it."""
    for operation, argument in pattern:
        name = str(operation)
        if "REPEAT" in name:
            times = within * int(argument[1])
            yield times
            yield from repeats(argument[2], times)
        elif name == "SUBPATTERN":
            yield from repeats(argument[3], within)
        elif name == "BRANCH":
            for branch in argument[1]:
                yield from repeats(branch, within)
        elif name in {"ASSERT", "ASSERT_NOT"}:
            yield from repeats(argument[1], within)
        elif name == "ATOMIC_GROUP":
            yield from repeats(argument, within)


def test_no_rule_repeats_without_bound() -> None:
    counted = 0
    for rule in RULES:
        for times in repeats(_parser.parse(rule.pattern.pattern, rule.pattern.flags)):
            counted += 1
            assert times <= 1 << 14, rule.pattern.pattern
    assert counted > 50
    assert max(repeats(_parser.parse(r"(?:a+b)?(?>c{2,3}){5}"))) > 1 << 14
    assert list(repeats(_parser.parse(r"(?:(?:a{1,4}b){2}|c)"))) == [2, 8]
