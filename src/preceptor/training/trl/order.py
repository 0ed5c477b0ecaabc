"""The order of prompts in TRL's trainers."""

from collections.abc import Iterator, Sequence

from torch.utils.data import Sampler

from preceptor.core.types import Prompt
from preceptor.training.rl.loop import place_in_epoch
from preceptor.training.rl.settings import RLSettings


class PromptOrder(Sampler[int]):
    """The prompts of all steps, in the order of the native engine: each as often as it is answered, and each step as
    often as the trainer reads it.
    """

    def __init__(self, prompts: Sequence[Prompt], settings: RLSettings, seed: int, repeats: int) -> None:
        self._prompts, self._settings, self._seed, self._repeats = prompts, settings, seed, repeats

    def __len__(self) -> int:
        settings = self._settings
        return settings.steps * settings.prompts_per_step * settings.group_size * self._repeats

    def __iter__(self) -> Iterator[int]:
        stream, settings = self._stream(), self._settings
        for _ in range(settings.steps):
            places = [next(stream) for _ in range(settings.prompts_per_step)]
            for _ in range(self._repeats):
                for place in places:
                    yield from [place] * settings.group_size

    def _stream(self) -> Iterator[int]:
        """The places of prompts, epoch by epoch, as `prompts_of_step` orders them."""
        epoch = 0
        while True:
            keys = [place_in_epoch(prompt, epoch, self._seed) for prompt in self._prompts]
            yield from sorted(range(len(keys)), key=lambda place: keys[place])
            epoch += 1
