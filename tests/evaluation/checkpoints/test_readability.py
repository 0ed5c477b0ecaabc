import pytest

from preceptor.evaluation.checkpoints.readability import (
    FAR_BELOW,
    likelihood_floor,
    mean_log_prob,
    share_unreadable,
    unreadable,
)

_TABLE = """| item | in stock | price |
|------|----------|-------|
| pen  | yes      | 1.20  |
| ink  | no       | 3.40  |
| pad  | yes      | 2.00  |"""
_CODE = """def f(x):
    return [[(a, b) for a in x if a > 0] for b in x if b != {}]

assert f([]) == []  # ()[]{}<>!=&&||"""
_TREE = """src
├── core
│   ├── types.py
│   └── errors.py
└── cli"""

_READABLE = {
    "sentence": "I'm sorry to hear that you are ill. Get well soon!",
    "short": "Yes!",
    "number": "42",
    "letter": "B",
    "price": "€5",
    "cut in the middle": "The first step is to gather what you",
    "emoji in a message": "Happy birthday, dear Anna! 🎂🎉🎈🥳😍",
    "many emoji": "Get well soon!! ❤️❤️❤️ 🌟✨🌈",
    "emoji of several code points": "Your family 👨‍👩‍👧‍👦 is well 👍🏽",
    "a character cut by the limit": "All the best \ufffd",
    "Chinese": "早日康复!希望你尽快好起来,身体健康,万事如意。我们都在等你回来一起工作。",
    "Japanese": "お大事になさってください。早く良くなりますように。みんなで待っています。",
    "Korean": "빨리 나으시길 바랍니다. 우리 모두 당신을 기다리고 있어요.",
    "Arabic": "أتمنى لك الشفاء العاجل. نحن جميعا في انتظارك هنا.",
    "Hebrew": "החלמה מהירה! כולנו מחכים לך כאן.",
    "Hindi": "जल्दी ठीक हो जाओ। हम सब तुम्हारा इंतज़ार कर रहे हैं।",
    "Thai": "ขอให้หายไวๆ นะ พวกเราทุกคนกำลังรอคุณอยู่ที่นี่",
    "Russian": "Выздоравливай скорее! Мы все тебя ждём.",
    "Greek": "Περαστικά! Σε περιμένουμε όλοι εδώ.",
    "table": _TABLE,
    "code": _CODE,
    "folders": _TREE,
    "mathematics": "∀ x ∈ ℝ: ∑ᵢ xᵢ² ≥ 0, ∴ √x ≤ ∞ ⇔ x ≠ −1",
    "matrix": "[[1, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 0, 1]]",
    "address": "See https://example.org/a/b?c=d&e=%20f#g.",
    "refrain": "Row, row, row your boat, gently down the stream. Merrily, merrily, merrily, life is but a dream.",
    "laugh": "Hahaha, ha ha ha, that is a good one!",
    "list": "\n".join(f"{i}. Drink a glass of {what} {i} times." for i, what in enumerate(["water", "milk", "tea"], 1)),
    "a rule": "Title\n" + "-" * 80,
}

_UNREADABLE = {
    "😍▯▯▯▯▯": "no words",
    "": "empty",
    " \n\t ": "empty",
    "...": "no words",
    "| | | | | | | | | |": "no words",
    "😍 love 😍😍😍😍🎉🎉🎉🎉": "symbols",
    "▯▯▯▯▯▯▯▯▯▯▯▯ ok": "symbols",
    "Dear \ufffd\ufffd\ufffd, get w\ufffdll": "broken characters",
    "text with \ue000\ue001\ue002\ue003 of nobody": "broken characters",
    "a\x00b\x01c\x02d": "broken characters",
    "love " * 20: "repetition",
    "I am so happy for you. " * 6: "repetition",
    "\n".join(f"{i}. I love this day." for i in range(1, 8)): "repetition",
    "祝你开心" * 10: "repetition",
    "s" + "o" * 60 + " good": "repetition",
    "yay" + "yay" * 20: "repetition",
}


@pytest.mark.parametrize("text", _READABLE.values(), ids=_READABLE.keys())
def test_texts_that_people_write_are_readable(text: str) -> None:
    assert unreadable(text) is None


@pytest.mark.parametrize(("text", "reason"), _UNREADABLE.items())
def test_texts_that_say_nothing_are_not(text: str, reason: str) -> None:
    assert unreadable(text) == reason


def test_share_by_the_rules_alone() -> None:
    assert share_unreadable(["Get well soon!", "😍▯▯▯▯▯", "42", ""]) == 0.5
    assert share_unreadable([]) is None


def test_words_in_no_order_are_found_by_the_reference_likelihood() -> None:
    own = [-1.0, -2.0, -1.5, None]
    floor = likelihood_floor(own)
    assert floor == -1.5 - FAR_BELOW
    texts = ["BEST love hugs wow super", "Thank you, that is kind.", "😍▯▯▯▯▯", "42"]
    values = [-7.3, -2.5, -2.0, mean_log_prob(-9.0, 1)]
    assert share_unreadable(texts, values, floor) == 0.5
    assert share_unreadable(texts, values) == share_unreadable(texts, None, floor) == 0.25


def test_what_the_reference_itself_wrote_is_never_too_unlikely() -> None:
    own = [-1.0, -1.0, -20.0]
    assert likelihood_floor(own) == -20.0
    assert share_unreadable(["a", "b", "c"], own, likelihood_floor(own)) == 0.0


def test_without_a_long_response_there_is_no_floor() -> None:
    assert likelihood_floor([]) is likelihood_floor([None]) is None
    assert mean_log_prob(-8.0, 8) == -1.0
    assert mean_log_prob(-8.0, 7) is None


def test_one_likelihood_for_each_text() -> None:
    with pytest.raises(ValueError, match="1 log-probabilities for 2 texts"):
        share_unreadable(["a", "b"], [-1.0], -2.0)
