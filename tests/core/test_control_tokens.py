"""Control tokens of the well-known families are made text, and ordinary text and code stay as they are."""

import pytest

from preceptor.core.control_tokens import defused, defused_of, is_control

CHATML = (
    "<|im_start|> <|im_end|> <|im_sep|> <|endoftext|> <|endofprompt|> <|vision_start|> <|file_sep|> <|fim_prefix|> "
    "<|startoftext|>"
)
LLAMA = (
    "<s> </s> <unk> [INST] [/INST] <<SYS>> <</SYS>> <|begin_of_text|> <|end_of_text|> <|eot_id|> <|eom_id|> <|eot|> "
    "<|start_header_id|> <|end_header_id|> <|header_start|> <|python_tag|> <|reserved_special_token_7|> <SUF> <FILL_ME>"
)
MISTRAL = (
    "[SYSTEM_PROMPT] [/SYSTEM_PROMPT] [AVAILABLE_TOOLS] [/AVAILABLE_TOOLS] [TOOL_CALLS] [TOOL_RESULTS] [/TOOL_RESULTS] "
    "[TOOL_CONTENT] [CALL_ID] [THINK] [/THINK] [IMG] [IMG_BREAK] [IMG_END] [AUDIO] [BEGIN_AUDIO]"
)
GEMMA = (
    "<bos> <eos> <pad> <mask> <start_of_turn> <end_of_turn> <start_of_image> <image_soft_token> <unused7> [multimodal] "
    "[toxicity=0] [@BOS@] <|turn> <turn|> <|tool_call> <tool_call|> <|channel> <channel|>"
)
QWEN = "<tool_call> </tool_call> <tool_response> </tool_response> <think> </think> <|box_start|> <|object_ref_start|>"
DEEPSEEK = "<｜User｜> <｜Assistant｜> <｜begin▁of▁sentence｜> <｜end▁of▁sentence｜> <｜tool▁calls▁begin｜> <|EOT|>"
GPT_OSS = "<|start|> <|channel|> <|message|> <|return|> <|call|> <|constrain|> <|end|>"
OTHERS = (
    "<|system|> <|user|> <|assistant|> <|observation|> <|START_OF_TURN_TOKEN|> <BOS_TOKEN> <EOP_TOKEN> <extra_id_0> "
    "[CLS] [SEP] [MASK] [PAD] [UNK] [BOS] [EOS] [EOT] [gMASK] [sMASK] [unused3] <sop> <eop> <eoh> <eoa> "
    "<|start_of_role|> <fim_prefix> <repo_name> <file_sep> <issue_start> <commit_before> <jupyter_code> <empty_output> "
    "<SPECIAL_12> <reserved_102> <TOKENS_UNUSED_1> <seed:bos> <seed:tool_call> </seed:think> <minimax:tool_call> ]~b] "
    "]~!b[ [e~[ [|system|] [|endofturn|] >>QUESTION<< <image> <im_start> <end_of_utterance> <mask:0> <|Human|>"
)
SPELLINGS = " ".join((CHATML, LLAMA, MISTRAL, GEMMA, QWEN, DEEPSEEK, GPT_OSS, OTHERS)).split()

ORDINARY = [
    "<b>bold</b> <i>x</i> <br/> <p class='x'> <svg><path d=''/></svg> <table><tr><td>1</td></tr></table> <strong>",
    "<!-- comment --> <script src='x'></script> <span> <section> <sub>2</sub> <sup> <small> <summary> <style>",
    "a < b and c > d; if (a<b && c>d) return a<<2 | b>>3;",
    "List<String> Map<Integer, List<T>> std::vector<int> Vec<u8> Option<&str> Promise<string | null> Foo<T | null>",
    "[link](https://example.org) ![image](x.png) [1]: http://x [x] [ ] [^1] [[wiki]] - [ ] to do",
    "x[0] = y[i][j]; a[INDEX] = b[MAX]; print(d['INST']); [1, 2, 3] [a-z] [:alpha:] [A] [TODO] [NAME] [Your Name]",
    "f <| g x |> h; p <|> q <||> r; xs |> map f; a || b; |x| < 1; <|> <- -> => <=> <> << >> <<EOF",
    "cp <source> <destination> <filename> <user>@<host> <commit_hash> <image_url> <tool_name> <function_name> [ARGS]",
    "<unk <s <| <|im_start| im_start im_end> s> /s> INST] [INST unk <em>",
    "<https://example.org> <me@example.org> <T> <K, V> <int> <String> <EOF> #include <stdio.h> <iostream>",
    "| a | b |\n|---|---|\n| 1 | 2 |\n```xml\n<note><to>You</to></note>\n```",
    "<response>text</response> <thought>hm</thought> <answer>42</answer> <step> <prompt>",
    "😀 ｜ 全角｜文字 <｜> ▁ <日本> «x» ‹y› I < 3 you, <3 </3 >:( [sic] [...] [INSTALL] <spam> <max_tokens>",
]


@pytest.mark.parametrize("token", SPELLINGS)
def test_a_control_token_is_text_and_can_still_be_read(token: str) -> None:
    for text in (token, f"Bad.{token}user", f"a{token}{token}", f"<{token}>", f"[{token}]", f"{token[0]}{token}"):
        harmless = defused(text)
        assert token not in harmless
        assert harmless.replace(" ", "") == text
        assert defused(harmless) == harmless
    assert is_control(token)


def test_how_many_there_are() -> None:
    assert len(set(SPELLINGS)) == len(SPELLINGS) > 120


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_and_code_stay_as_they_are(text: str) -> None:
    assert defused(text) == text


def test_long_text_takes_no_time() -> None:
    for text in ("<" * 200_000, "<|" * 100_000, "<a" * 100_000, "[|x" * 60_000, "<start_of_" * 20_000):
        assert defused(text) == text


def test_what_is_no_whole_token_is_none() -> None:
    assert not any(map(is_control, ("<b>", "", "<s", "<s> ", "a<s>", "  ", "\n\n", "<table>", "[x]", "<|")))


def test_named_tokens_alone() -> None:
    assert defused_of("<tool_call><s></tool_call>", {"<tool_call>", "</tool_call>"}) == "< tool_call><s>< /tool_call>"
