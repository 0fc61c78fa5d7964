"""A look at the features of a run now and then: is it learning views, or something easier?"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from apical.config import PretrainSettings
from apical.learn.augment import plain
from apical.learn.backbones import Encoder
from apical.learn.clips import Clips
from apical.learn.losses import contrastive
from apical.learn.relations import Members, pairs
from apical.learn.tracking import Tracker
from apical.learn.watch import look, similarity_histograms, warnings
from apical.learn.windows import windows

MOST_CLIPS = 2000  # looked at
MOST_TIME = 0.02  # of a run that looks may take; the last one is always taken
CROPS_AT_ONCE = 256
NOTHING_TO_CONTRAST = (
    "A batch had no negatives: the loss was 0 and nothing was learned from it. Make batch_clips larger or "
    "exam_clips smaller, or let all others be negatives."
)


class Watch:
    """Looks at the same clips of a run each time.

    Args:
        clips: that the run learns from.
        encoder: as it is trained.
        settings: of the run.
        device: of the encoder.
        tell: is given warnings, each once.
    """

    def __init__(
        self,
        clips: Clips,
        encoder: Encoder,
        settings: PretrainSettings,
        device: torch.device,
        tell: Callable[[str], None],
    ) -> None:
        generator = np.random.default_rng([settings.seed, 3])
        chosen = np.zeros(len(clips), bool)
        chosen[generator.permutation(len(clips))[:MOST_CLIPS]] = True
        self.clips = clips.select(chosen)
        self.spent = self.latest = 0.0  # seconds, of all looks and of the last one
        self.encoder, self.settings, self.device, self.tell = encoder, settings, device, tell
        self.embeddings: Tensor | None = None
        self.members: Members | None = None
        self.told: set[str] = set()

    def is_due(self, before: float, after: float, seconds: float) -> bool:
        """Whether it is time for a look, between two shares of the run, so many seconds after its start."""
        reached = int(after * self.settings.watch) > int(before * self.settings.watch)
        return reached and (after >= 1 or self.spent + self.latest <= MOST_TIME * seconds)

    def saw(self, embeddings: Tensor, members: Members, loss: float) -> None:
        """Keep the embeddings (n, d) of the last batch, and what they are of; warn of a batch without use."""
        self.embeddings, self.members = embeddings, members
        if loss == 0 and self.settings.objective.method in ("contrastive", "moco"):
            self.warn([NOTHING_TO_CONTRAST])

    def look(self, step: int, done: float, tracker: Tracker, so_far: dict[str, float]) -> dict[str, float]:
        """More figures; histograms go to the tracker and, after the warm-up, warnings to `tell`.

        Args:
            step: the number of the moment.
            done: share of the run.
            tracker: of the run.
            so_far: figures of the step that are known.
        """
        if self.embeddings is None or self.members is None:
            return {}
        began = time.monotonic()
        positive, sets = pairs(self.members, self.members, self.settings.objective)
        negative = sets[0][1]
        figures = look(
            self.features(),
            self.embeddings,
            positive,
            negative,
            label=self.clips.label,
            patient=self.clips.patient_code,
            machine=self.clips.machine_code,
        )
        for name, (counts, edges) in similarity_histograms(self.embeddings, positive, negative).items():
            tracker.histogram(step, name, counts, edges)
        if self.settings.objective.method == "contrastive":
            alike = torch.ones_like(self.embeddings)
            figures["collapsed_loss"] = float(contrastive(alike, self.members, self.settings.objective))
        if done > self.settings.warmup_share:
            self.warn(warnings(so_far | figures))
        self.latest = time.monotonic() - began
        self.spent += self.latest
        return figures

    def warn(self, what: list[str]) -> None:
        """Tell what looks wrong, unless it was told before."""
        for warning in what:
            if warning not in self.told:
                self.told.add(warning)
                self.tell(warning)

    @torch.no_grad()
    def features(self) -> Tensor:
        """(n, d) float32 of the middle of each clip, in evaluation mode."""
        rows = windows(self.clips.first, self.clips.count, self.encoder.frames)[1]
        training = self.encoder.training
        self.encoder.eval()
        found = []
        for part in np.array_split(rows, max(1, -(-len(rows) // CROPS_AT_ONCE))):
            frames = torch.from_numpy(self.clips.read(part)).to(self.device)
            found.append(self.encoder(plain(frames, self.settings.input_size)).float().cpu())
        self.encoder.train(training)
        return torch.cat(found)
