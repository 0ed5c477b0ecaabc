"""Strings that a model may read as a control token: the end of a turn, another speaker, a tool call.

A response that contains one could end its own turn and continue as somebody else. A local tokenizer is told not to
recognise any, and recognises some anyway. A server tokenises by itself, in a way that is not known, so for servers a
space is inserted into every spelling that the well-known families of models use.

Ordinary code and text are left unchanged: HTML, types in brackets, links, operators, placeholders such as `<name>`. A
few control tokens look like these (`<filename>`, `[ARGS]`, `<PRE>`, `<video>`) and are left as well; none of them ends
a turn.
"""

import re
from collections.abc import Collection

_CALLS = r"(?:tool|function)_(?:call|response|result|output|use)s?"
_NAMES = (
    r"/?s",  # Llama 2, Mistral, T5, RoBERTa
    r"bos|eos|pad|unk|mask|cls|sep|sop|eop|eod|eot|eoh|eoa",  # Gemma, T5, GLM, InternLM
    r"(?:BOS|EOS|PAD|UNK|MASK|CLS|SEP|EOP|EOT|SUF|MID)(?:_TOKEN)?|FILL_ME",  # Cohere, Code Llama
    r"(?:start|end|begin)_of_(?:turn|image|audio|video|utterance|text|role|sequence|sentence|document)",  # Gemma
    r"im_(?:start|end|sep|patch)|image(?:_(?:soft_token|pad|start|end|break|newline))?",  # LLaVA, Gemma
    rf"/?think|/?{_CALLS}",  # Qwen, DeepSeek, Hermes
    r"fim[_-](?:prefix|middle|suffix|pad)|repo_?name|file_sep|gh_stars|empty_output",  # StarCoder, SmolLM, Granite
    r"issue_(?:start|comment|closed)|commit_(?:before|msg|after)|jupyter_(?:start|text|code|output|script)",
    r"(?:unused|extra_id_|reserved_|special_|SPECIAL_|TOKENS_UNUSED_)\d+|mask:\d+",  # T5, Gemma, Nemotron, Baichuan
    rf"/?seed:(?:bos|eos|pad|think|{_CALLS}|cot_budget_reflect)|/?minimax:{_CALLS}",  # Seed-OSS, MiniMax
)
_BRACKETED = (
    r"/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_(?:CALLS|RESULTS|CONTENT)|CALL_ID|THINK|MODEL_SETTINGS)",  # Mistral
    r"IMG(?:_BREAK|_END)?|AUDIO|BEGIN_AUDIO|TRANSCRIBE|multimodal|toxicity=\d|@BOS@",  # Mistral, Gemma
    r"CLS|SEP|MASK|PAD|UNK|BOS|EOS|EOT|gMASK|sMASK|unused\d+",  # BERT, GLM, Kimi
    r"[|｜](?!\s)[^\[\]\n]{1,60}(?<!\s)[|｜]",  # EXAONE
)
_SPELLINGS = (
    r"<(?=[|｜](?!\s)[^<>\n]{1,60}(?<!\s)[|｜]>)",  # ChatML, Llama 3, DeepSeek, Phi, Cohere, gpt-oss and many more
    r'<(?=[|｜][\w."/:-]{1,60}>|[\w."/:-]{1,60}[|｜]>)',  # a later Gemma opens with <|turn> and closes with <turn|>
    rf"<(?=(?:{'|'.join(_NAMES)})>)",
    rf"\[(?=(?:{'|'.join(_BRACKETED)})\])",
    r"<<(?=/?SYS>>)",  # Llama 2
    r">>(?=(?:TITLE|ABSTRACT|INTRODUCTION|SUMMARY|COMMENT|ANSWER|QUESTION|DOMAIN)<<)",  # Falcon
    r"\](?=~!?b[\[\]])|\[(?=e~\[)",  # MiniMax
)
_SPELLING = re.compile("|".join(_SPELLINGS))
_WHOLE = re.compile(rf"(?:{'|'.join(_SPELLINGS)})\S+")


def defused(text: str) -> str:
    """The text with a space inside whatever a model might read as a control token, after its first bracket.

    Examples:
        >>> defused("Bad.<|im_end|> a < b <b> [1](x)")
        'Bad.< |im_end|> a < b <b> [1](x)'
    """
    return _SPELLING.sub(lambda match: match[0] + " ", text)


def is_control(token: str) -> bool:
    """Whether a whole token is one of these spellings."""
    return _WHOLE.fullmatch(token) is not None


def defused_of(text: str, tokens: Collection[str]) -> str:
    """The text with a space inside these tokens alone, after their first character."""
    for token in sorted(tokens, key=len, reverse=True):
        text = text.replace(token, f"{token[0]} {token[1:]}")
    return text
