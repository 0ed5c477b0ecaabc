"""The paper's own numbers, each with the table that it is from. Shares are between 0 and 1.

Lee et al. 2023, "RLAIF: Scaling Reinforcement Learning from Human Feedback with AI Feedback", arXiv 2309.00267, version
2 of December 2023, by whose tables the numbers are named.
"""

from typing import Literal, TypeAlias

PAPER = "Lee et al. 2023, RLAIF vs. RLHF, arXiv 2309.00267v2"

Task: TypeAlias = Literal["summaries", "helpful", "harmless"]
"""The paper's tasks: summarisation, helpful dialogue and harmless dialogue."""

ALIGNMENT: dict[str, dict[Task, float]] = {
    "base": {"summaries": 0.761, "helpful": 0.678, "harmless": 0.694},
    "base+1-shot": {"summaries": 0.760, "helpful": 0.671, "harmless": 0.717},
    "base+2-shot": {"summaries": 0.757, "helpful": 0.668, "harmless": 0.721},
    "base+cot": {"summaries": 0.775, "helpful": 0.691, "harmless": 0.706},
    "detailed": {"summaries": 0.774, "helpful": 0.676, "harmless": 0.701},
    "detailed+1-shot": {"summaries": 0.762, "helpful": 0.676, "harmless": 0.715},
    "detailed+2-shot": {"summaries": 0.763, "helpful": 0.673, "harmless": 0.716},
    "detailed+8-shot": {"summaries": 0.698},
    "detailed+cot": {"summaries": 0.780, "helpful": 0.678, "harmless": 0.701},
    "detailed+cot+1-shot": {"summaries": 0.774, "helpful": 0.674, "harmless": 0.699},
    "detailed+cot+2-shot": {"summaries": 0.768, "helpful": 0.674, "harmless": 0.692},
}
"""Table 2: AI labeller alignment by prompt, written as a judge's variant."""
BY_SIZE = {"PaLM 2 L": 0.780, "PaLM 2 S": 0.738, "PaLM 2 XS": 0.627}
"""Table 3: alignment on summaries by the labeller's size."""
SAME_POSITION = {"PaLM 2 L": 0.18, "PaLM 2 S": 0.21, "PaLM 2 XS": 0.56}
"""Table 4: share of pairs of summaries in which the same position is preferred after the swap."""
FIRST_OF_SAME = {"PaLM 2 L": 0.94, "PaLM 2 S": 0.09, "PaLM 2 XS": 0.01}
"""Appendix B: of these pairs, the share in which that is the first position."""
REWARD_MODELS: dict[Task, dict[Literal["human", "ai"], float]] = {
    "summaries": {"human": 0.793, "ai": 0.742},
    "helpful": {"human": 0.760, "ai": 0.678},
    "harmless": {"human": 0.721, "ai": 0.697},
}
"""Table 5: accuracy of reward models on held-out preferences of people, by whose labels they learnt."""
REWARD_INITIALISATION: dict[Literal["base", "sft"], dict[Literal["human", "ai"], float]] = {
    "base": {"human": 0.793, "ai": 0.730},
    "sft": {"human": 0.787, "ai": 0.742},
}
"""Table 6: the same for summaries, by the model that they start from."""
REWARD_VARIANTS = {"base": 0.779, "smallest": 0.664}
"""Table 7: the same for AI labels by the prompt "Base 0-shot", and by the smallest labeller."""
SELF_CONSISTENCY: dict[tuple[int, float], float] = {
    (1, 0.0): 0.780,
    (16, 0.3): 0.762,
    (16, 0.5): 0.751,
    (16, 0.7): 0.740,
    (16, 1.0): 0.728,
}
"""Table 14: alignment on summaries by the number of rationales and their temperature."""
AI_LABEL = 0.06
"""Appendix L: dollars for a label by GPT-4, of 2 x (830 + 61) tokens."""
AI_LABEL_TOKENS = 2 * (830 + 61)
HUMAN_LABEL = 0.67
"""Appendix L: dollars for a label by a person."""
WIN_RATES: dict[Task, dict[tuple[str, str], float]] = {
    "summaries": {
        ("RLAIF", "SFT"): 0.71,
        ("RLHF", "SFT"): 0.73,
        ("RLAIF", "RLHF"): 0.50,
        ("same-size RLAIF", "SFT"): 0.68,
        ("direct RLAIF", "SFT"): 0.74,
        ("direct RLAIF", "same-size RLAIF"): 0.60,
        ("RLHF + RLAIF", "SFT"): 0.71,
        ("RLHF + RLAIF", "RLHF"): 0.48,
        ("RLAIF (base prompt)", "SFT"): 0.63,
        ("RLAIF (base prompt)", "RLAIF"): 0.41,
    },
    "helpful": {("RLAIF", "SFT"): 0.63, ("RLHF", "SFT"): 0.64, ("RLAIF", "RLHF"): 0.52},
}
"""Tables 1, 12 and 13: how often people preferred the first policy to the second. In other sessions, RLHF won 74%
against SFT (Table 13) and RLAIF 67% (Table 12)."""
WIN_RATES_AT_EQUAL_LENGTH: dict[Task, dict[tuple[str, str], float]] = {
    "summaries": {
        ("RLAIF", "SFT"): 0.59,
        ("RLHF", "SFT"): 0.61,
        ("RLAIF", "RLHF"): 0.47,
        ("same-size RLAIF", "SFT"): 0.59,
        ("direct RLAIF", "SFT"): 0.65,
        ("direct RLAIF", "same-size RLAIF"): 0.56,
        ("RLHF + RLAIF", "SFT"): 0.61,
        ("RLHF + RLAIF", "RLHF"): 0.46,
        ("RLAIF (base prompt)", "SFT"): 0.59,
        ("RLAIF (base prompt)", "RLAIF"): 0.45,
    },
    "helpful": {("RLAIF", "SFT"): 0.61, ("RLHF", "SFT"): 0.61, ("RLAIF", "RLHF"): 0.50},
}
"""Tables 8, 9, 11, 12 and 13: the same at equal length."""
HARMLESS_RATES = {"SFT": 0.64, "RLHF": 0.76, "RLAIF": 0.88}
"""Table 1: share of responses that people found harmless."""
HARMLESS_RATES_AT_EQUAL_LENGTH = {"SFT": 0.64, "RLHF": 0.78, "RLAIF": 0.91}
"""Table 10: the same at the mean length of SFT's responses."""
KENDALL_W = (0.6, 0.7)
"""Appendix I: Kendall's W of the paper's sessions, the lowest and the highest."""
