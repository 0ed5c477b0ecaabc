"""A tiny random model that thinks: its template ends a thought with one character, which the model often says."""

from pathlib import Path

from conftest import make_model
from preceptor.backends.transformers.model import LocalModel

END = "/"
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['reasoning_content'] is defined %}{{ message['reasoning_content'] }}" + END + "{% endif %}"
    "{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and not enable_thinking %}" + END + "{% endif %}{% endif %}"
)


def thinking_model(seed: int = 0) -> LocalModel:
    """The tiny model under that template."""
    model = make_model(seed)
    model.tokenizer.chat_template = TEMPLATE
    return model


def thinking_folder(folder: Path) -> Path:
    """The same as a folder in Hugging Face format."""
    model = thinking_model()
    model.model.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)
    return folder
