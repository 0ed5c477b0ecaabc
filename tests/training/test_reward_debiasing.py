"""Length out of a reward model's head, by hand, on planted data and on a real model; soups by hand numbers."""

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from conftest import prompt
from preceptor.core.errors import PreceptorError
from preceptor.core.types import Response
from preceptor.judging.text_features import length
from preceptor.store.files import write_folder
from preceptor.store.training_pairs import TrainingPair
from preceptor.training.reward_model.debiasing import take_out_length, without_length
from preceptor.training.reward_model.encoding import NoReward
from preceptor.training.reward_model.model import RewardModel
from preceptor.training.reward_model.settings import RewardModelSettings
from preceptor.training.reward_model.soup import add_to_mean, soup
from preceptor.training.tuning import TuningSettings


def pair(number: int, chosen: str, rejected: str) -> TrainingPair:
    to = prompt(f"q{number}")
    first, second = (Response(prompt_id=to.id, text=text) for text in (chosen, rejected))
    return TrainingPair(f"{number}", to, first, second, 1.0, 1.0, "ai")


PAIRS = [pair(i, "good" * (i % 3 + 2), "bad" * (i % 4 + 1)) for i in range(12)]


def make(folder: Path, method: str = "lora", seed: int = 0) -> RewardModel:
    tuning = TuningSettings.model_validate({"method": method, "rank": 4, "precision": "fp32"})
    return RewardModel.from_language_model(str(folder), tuning, seed, max_length=128)


def differences(model: RewardModel) -> torch.Tensor:
    chosen, rejected = ([(p.prompt, getattr(p, side)) for p in PAIRS] for side in ("chosen", "rejected"))
    both = zip(model.score(chosen), model.score(rejected), strict=True)
    return torch.tensor([c - r for c, r in both if not isinstance(c, NoReward) and not isinstance(r, NoReward)])


def test_the_head_loses_its_length_direction() -> None:
    """Length is the first input alone, so its weight becomes 0 and the other stays."""
    w = without_length(torch.tensor([3.0, 2.0]), torch.eye(2), torch.tensor([1.0, 0.0]))
    assert w.tolist() == pytest.approx([0.0, 2.0])


def test_equal_lengths_leave_the_head_as_it_is() -> None:
    head = torch.tensor([3.0, 2.0])
    assert torch.equal(without_length(head, torch.eye(2), torch.zeros(2)), head)


def test_accuracy_on_planted_data_is_kept() -> None:
    """Quality and length are inputs; the head loves both, the labels go by quality alone."""
    generator = torch.Generator().manual_seed(3)
    d_NH = torch.randn((400, 6), generator=generator)
    quality_N, lengths_N = d_NH[:, 0], d_NH[:, 1] + 0.3 * d_NH[:, 2]
    head = torch.tensor([1.0, 1.2, 0.0, 0.0, 0.0, 0.0])
    new = without_length(head, d_NH[:200], lengths_N[:200])
    assert float((d_NH[:200] @ new) @ lengths_N[:200]) == pytest.approx(0.0, abs=1e-3)
    right = [float(((d_NH[200:] @ w > 0) == (quality_N[200:] > 0)).float().mean()) for w in (head, new)]
    assert right[0] < 0.8
    assert right[1] > 0.85


@pytest.mark.parametrize("method", ["lora", "full"])
def test_scores_of_a_model_say_nothing_of_length(method: str, tiny_folder: Path, tmp_path: Path) -> None:
    model = make(tiny_folder, method)
    lengths_N = torch.tensor([length(p.chosen.text) - length(p.rejected.text) for p in PAIRS])

    def correlation(of: RewardModel) -> float:
        scores_N = differences(of)
        return float(scores_N @ lengths_N / (scores_N.norm() * lengths_N.norm()))

    before = correlation(model)
    assert take_out_length(model, PAIRS) == pytest.approx(before, abs=1e-4)
    assert abs(before) > 0.01
    assert correlation(model) == pytest.approx(0.0, abs=1e-3)
    write_folder(tmp_path / "rm", model.save)
    assert correlation(RewardModel.load(tmp_path / "rm", torch.float32)) == pytest.approx(0.0, abs=1e-3)


def test_a_soup_has_the_mean_of_all_weights(tiny_folder: Path, tmp_path: Path) -> None:
    """Of three heads of 1, 2 and 6 throughout, the mean is 3."""
    folders = [tmp_path / str(n) for n in range(3)]
    for folder, value in zip(folders, (1.0, 2.0, 6.0), strict=True):
        model = make(tiny_folder, "full")
        model.head.weight.data.fill_(value)
        write_folder(folder, model.save)
    mixed = soup(folders)
    assert mixed.head.weight.flatten().tolist() == pytest.approx([3.0] * mixed.head.weight.numel())
    others = [name for name in mixed.model.state_dict() if not name.startswith("score")]
    one = RewardModel.load(folders[0], torch.float32).model.state_dict()
    assert all(torch.allclose(mixed.model.state_dict()[name], one[name]) for name in others)
    assert differences(mixed).tolist() == pytest.approx(
        (differences(RewardModel.load(folders[0], torch.float32)) * 3).tolist(), abs=1e-4
    )
    assert mixed.identity.startswith("soup of (")


def test_a_mean_by_hand() -> None:
    means = {"w": torch.tensor([1.0, 5.0])}
    add_to_mean(means, {"w": torch.tensor([3.0, 5.0])}, 2, "second")
    add_to_mean(means, {"w": torch.tensor([8.0, 2.0])}, 3, "third")
    assert means["w"].tolist() == pytest.approx([4.0, 4.0])
    for other in ({"v": torch.ones(2)}, {"w": torch.ones(3)}):
        with pytest.raises(PreceptorError, match="fourth"):
            add_to_mean(means, other, 4, "fourth")


def test_a_soup_needs_several_members_and_has_no_pessimism() -> None:
    for wrong in ({"members": 1}, {"members": 2, "pessimism": 1.0}):
        with pytest.raises(ValidationError, match="soup"):
            RewardModelSettings.model_validate({"combine": "soup"} | wrong)


def test_settings_that_are_not_used_are_in_no_hash() -> None:
    assert not {"combine", "length_debiased"} & RewardModelSettings().model_dump().keys()
