"""A look at the features of a run now and then: is it learning views, or something easier?"""

from __future__ import annotations

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
MOST_SHARE = 0.05  # of the crops of a run, so many more are looked at: about 2 % of its time
CROPS_AT_ONCE = 256


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
        crops = settings.epochs * len(clips) * settings.crops_per_clip
        self.times = min(settings.watch, max(1, int(MOST_SHARE * crops / len(self.clips))))
        self.encoder, self.settings, self.device, self.tell = encoder, settings, device, tell
        self.embeddings: Tensor | None = None
        self.members: Members | None = None
        self.told: set[str] = set()

    def is_due(self, before: float, after: float) -> bool:
        """Whether it is time for a look, between two shares of the run."""
        return int(after * self.times) > int(before * self.times)

    def saw(self, embeddings: Tensor, members: Members) -> None:
        """Keep the embeddings (n, d) of the last batch, and what they are of."""
        self.embeddings, self.members = embeddings, members

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
            self.warn(so_far | figures)
        return figures

    def warn(self, figures: dict[str, float]) -> None:
        """Tell what looks wrong, unless it was told before."""
        for warning in warnings(figures):
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
            frames = torch.from_numpy(self.clips.frames[part.ravel()])
            frames = frames.view(*part.shape, *frames.shape[1:]).to(self.device)
            found.append(self.encoder(plain(frames, self.settings.input_size)).float().cpu())
        self.encoder.train(training)
        return torch.cat(found)
