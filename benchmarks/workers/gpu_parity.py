"""Whether a device computes what plain transformers computes: the forest's attention, packed log-probabilities and
their gradients, and sampling. `python -m benchmarks.workers.gpu_parity SCALE FILE`
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.workers.gpu_kit import SCALES, Kit, PartFile, now
from preceptor.backends.transformers import flex
from preceptor.backends.transformers.attention import forest_arguments
from preceptor.backends.transformers.forest import Forest
from preceptor.backends.transformers.sampling import sample_groups
from preceptor.backends.transformers.traits import traits
from preceptor.training.packed import TokenGroup, packed_log_probs

EXACT = 2e-3
"""The largest difference of log-probabilities in float32 that is rounding."""
ROUNDED = 1.5
"""How much larger than plain transformers' error, against float32, ours may be in the models' own precision."""
LONG = 4096
"""Tokens of the row whose attention is timed."""


def groups_of(kit: Kit) -> list[TokenGroup]:
    """Random tokens: prompts, and responses of different lengths."""
    draw, scale = torch.Generator().manual_seed(0), kit.scale

    def tokens(count: int) -> tuple[int, ...]:
        return tuple(torch.randint(0, 256, (count,), generator=draw).tolist())

    return [
        TokenGroup(
            tokens(scale.prompt_tokens + i),
            tuple(tokens(1 + scale.new_tokens // (1 + j)) for j in range(scale.group_size)),
        )
        for i in range(scale.prompts)
    ]


def separately(model: Any, groups: Sequence[TokenGroup]) -> Tensor:
    """The same log-probabilities by plain transformers, one text at a time."""
    parts: list[Tensor] = []
    for group in groups:
        for response in group.responses:
            ids = torch.tensor([group.prompt + response], device=model.device)
            logits_TV = model(ids, use_cache=False).logits[0, len(group.prompt) - 1 : -1].float()
            answer = ids[0, len(group.prompt) :, None]
            parts.append(torch.log_softmax(logits_TV, dim=-1).gather(1, answer)[:, 0])
    return torch.cat(parts)


def log_probs_exact(kit: Kit) -> dict[str, Any]:
    """In float32, log-probabilities and their gradients."""
    groups, ours, plain = groups_of(kit), kit.fresh().model, kit.plain()
    found, expected = packed_log_probs(ours, groups, 1.0), separately(plain, groups)
    for log_probs in (found, expected):
        (log_probs * torch.linspace(-1, 1, len(log_probs), device=log_probs.device)).sum().backward()
    norms = [
        (float((a.grad - b.grad).norm()), float(b.grad.norm()))
        for a, b in zip(ours.parameters(), plain.parameters(), strict=True)
        if b.grad is not None
    ]
    apart = sum(d**2 for d, _ in norms) ** 0.5 / sum(n**2 for _, n in norms) ** 0.5
    largest = float((found - expected).detach().abs().max())
    return {
        "largest": largest,
        "gradient": apart,
        "forest": traits(ours).forest,
        "ok": largest < EXACT and apart < EXACT,
    }


@torch.no_grad()
def log_probs_rounded(exact: Kit, kit: Kit) -> dict[str, Any]:
    """In the models' precision: both errors against float32."""
    groups = groups_of(kit)
    expected = separately(exact.plain(), groups)
    ours = float((packed_log_probs(kit.fresh().model, groups, 1.0) - expected).abs().mean())
    plain = float((separately(kit.plain(), groups) - expected).abs().mean())
    return {"mean_error": ours, "mean_error_of_plain": plain, "ok": ours <= ROUNDED * plain + 1e-6}


@torch.inference_mode()
def sampling(kit: Kit) -> dict[str, Any]:
    """Greedy tokens in float32, which transformers' generate gives too; and the mean log-probability of sampled tokens
    beside its expectation, in standard errors.
    """
    model, plain, tokens = kit.fresh(), kit.plain(), kit.scale.new_tokens
    prompts = [list(group.prompt) for group in groups_of(kit)]
    settings: dict[str, Any] = {"max_new_tokens": tokens, "eos_ids": [-1]}
    greedy = sample_groups(model.model, prompts, seeds_P=range(len(prompts)), group_size=1, temperature=0.0, **settings)
    alike = total = 0
    for prompt, [response] in zip(prompts, greedy, strict=True):
        ids = torch.tensor([prompt], device=plain.device)
        given = plain.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=tokens)
        theirs = given[0, len(prompt) :].tolist()
        alike += sum(a == b for a, b in zip(response.token_ids, theirs, strict=True))
        total += len(theirs)
    drawn = sample_groups(
        model.model, prompts[:1], seeds_P=[1], group_size=max(64, kit.scale.group_size), temperature=1.0,
        max_new_tokens=1, eos_ids=[-1],
    )  # fmt: skip
    logits_V = plain(torch.tensor(prompts[:1], device=plain.device)).logits[0, -1].float()
    log_probs_V = torch.log_softmax(logits_V, dim=-1)
    first = torch.tensor([response.token_ids[0] for response in drawn[0]], device=plain.device)
    entropy = -(log_probs_V.exp() * log_probs_V)
    spread = float(((log_probs_V + entropy.sum()) ** 2 * log_probs_V.exp()).sum()) ** 0.5
    z = (float(log_probs_V[first].mean()) + float(entropy.sum())) / max(1e-9, spread / len(first) ** 0.5)
    share = alike / total
    return {"greedy_tokens_alike": share, "z_of_sampled": z, "ok": share > 0.99 and abs(z) < 4}


@torch.inference_mode()
def attention(kit: Kit) -> dict[str, Any]:
    """A forest's row by blocks and by an additive mask: the difference, and the seconds of each."""
    model = kit.fresh().model
    blocks = model.device.type == "cuda" and flex.in_use(model)
    size = LONG if model.device.type == "cuda" else 64
    draw = torch.Generator().manual_seed(0)
    root = torch.randint(0, 256, (size // 4,), generator=draw).tolist()
    forest = Forest.of([(*root, *torch.randint(0, 256, (size // 8,), generator=draw).tolist()) for _ in range(6)])
    dense = kit.plain()
    arguments = {"chosen": (model, forest_arguments(model, forest)), "mask": (dense, forest_arguments(dense, forest))}
    hidden: dict[str, Tensor] = {}
    seconds: dict[str, float] = {}
    for name, (of, given) in arguments.items():
        of.model(**given)
        started = now()
        hidden[name] = of.model(**given).last_hidden_state[0, : len(forest.tokens)].float()
        seconds[name] = now() - started
    apart = float((hidden["chosen"] - hidden["mask"]).norm() / hidden["mask"].norm())
    works = blocks and isinstance(arguments["chosen"][1]["attention_mask"], flex.BlockMask)
    return {
        "flex_attention": works, "relative_difference": apart, "tokens": len(forest.tokens),
        "seconds": seconds["chosen"], "seconds_with_mask": seconds["mask"], "ok": apart < 0.02,
    }  # fmt: skip


def main(scale_name: str, file: str) -> None:
    """Measures each, and writes what was found after each."""
    scale, part = SCALES[scale_name], PartFile(Path(file), "parity")
    shape = "0.5B" if scale_name == "full" else "tiny"
    exact, kit = Kit(shape, scale, torch.float32), Kit(shape, scale)
    part.measure("attention", lambda: attention(kit))
    part.measure("log-probabilities, float32", lambda: log_probs_exact(exact))
    part.measure("sampling", lambda: sampling(exact))
    part.measure("log-probabilities, own precision", lambda: log_probs_rounded(exact, kit))


if __name__ == "__main__":
    torch.backends.cuda.matmul.allow_tf32 = False
    main(*sys.argv[1:])
