"""Undo and redo against a model that keeps a snapshot after each action; and the same after opening anew."""

from pathlib import Path

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from small_records import key, quick_folder, say

from apical.label.opinions import Said
from apical.label.records import Records

NAMES = ("Anna", "Ben")
CLIPS = ("c1", "c2", "c3")
KINDS = ("single", "repeat", "review", "adjudication")
names, clips = st.sampled_from(NAMES), st.sampled_from(CLIPS)
saids = st.sampled_from([Said(None), Said("A4C"), Said("A2C", True), Said("cannot-tell", quality="poor")])


class SnapshotsOfOne:
    """What an annotator had said after each action; `at` is where undo and redo have gone to."""

    def __init__(self):
        self.snapshots, self.at = [{}], 0

    @property
    def now(self):
        return self.snapshots[self.at]

    def act(self, changes):
        self.snapshots = [*self.snapshots[: self.at + 1], self.now | changes]
        self.at += 1


class UndoAndRedo(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.folder = quick_folder()
        self.path = Path(self.folder.name) / "labels.sqlite"
        self.records = Records(self.path)
        self.model = {name: SnapshotsOfOne() for name in NAMES}
        self.clock = 0
        self.keys, self.events = [], []

    def teardown(self):
        self.records.close()
        self.folder.cleanup()

    def written(self, name, used, events):
        self.keys.append((name, used, events))
        self.events += events

    @rule(name=names, clip=clips, said=saids, kind=st.sampled_from(KINDS))
    def one_is_said(self, name, clip, said, kind):
        used, model = key(), self.model[name]
        self.clock += 1
        _, opinion = model.now.get(("said", clip), (0, Said(None)))
        if kind == "repeat" and opinion.view is not None:
            model.act({("repeat", clip, self.clock): (self.clock, (opinion, said))})
        else:
            reviewed = {("reviewed", clip, self.clock): (self.clock, said)} if kind == "review" else {}
            model.act(
                {("adjudged" if kind == "adjudication" else "said", clip): (self.clock, said)} | reviewed
            )
        self.written(name, used, [say(self.records, name, clip, said, kind, key=used)])

    @rule(name=names, chosen=st.lists(clips, min_size=1, max_size=4), said=saids)
    def many_are_said(self, name, chosen, said):
        used = key()
        self.clock += 1
        self.model[name].act({("said", clip): (self.clock, said) for clip in chosen})
        about = [(clip, None) for clip in chosen]
        self.written(name, used, self.records.say_all(name, about, said, kind="wall", key=used))

    @rule(name=names)
    def the_latest_is_taken_back(self, name):
        used, model = key(), self.model[name]
        events = self.records.undo(name, key=used)
        assert bool(events) == (model.at > 0)
        model.at = max(0, model.at - 1)
        self.written(name, used, events)

    @rule(name=names)
    def the_latest_is_brought_back(self, name):
        used, model = key(), self.model[name]
        events = self.records.redo(name, key=used)
        assert bool(events) == (model.at < len(model.snapshots) - 1)
        model.at = min(len(model.snapshots) - 1, model.at + 1)
        self.written(name, used, events)

    @precondition(lambda self: self.keys)
    @rule(data=st.data())
    def a_call_comes_again(self, data):
        name, used, events = data.draw(st.sampled_from(self.keys))
        write = data.draw(st.sampled_from([self.records.undo, self.records.redo]))
        assert write(name, key=used) == events

    @rule()
    def the_file_is_opened_anew(self):
        self.records.close()
        self.records = Records(self.path)

    @invariant()
    def what_stands_is_what_the_snapshots_say(self):
        opinions, adjudged, repeats, reviewed = {}, {}, [], set()
        for name, model in self.model.items():
            for (what, clip, *_), (when, said) in model.now.items():
                if what == "reviewed":
                    reviewed.add(clip)
                elif what == "repeat":
                    repeats.append((when, name, clip, *said))
                elif what == "said" and said.view is not None:
                    opinions.setdefault(clip, {})[name] = said
                elif what == "adjudged" and said.view is not None:
                    adjudged.setdefault(clip, []).append((when, name, said))
        records = self.records
        assert records.reviewed() == reviewed
        assert records.opinions() == opinions
        assert records.adjudications() == {
            clip: max(one, key=lambda one: one[0])[1:] for clip, one in adjudged.items()
        }
        assert [(one.annotator, one.clip, one.first, one.second) for one in records.repeats()] == [
            one[1:] for one in sorted(repeats, key=lambda one: one[0]) if one[4].view is not None
        ]
        for name in NAMES:
            own = sum(name in of_clip for of_clip in opinions.values())
            assert records.counts(name) == (len(opinions), own)

    @invariant()
    def the_trail_holds_all_that_was_written_and_the_rest_follows_from_it(self):
        records = self.records
        assert list(records.events_after(0)) == self.events
        assert records.version() == len(self.events)
        assert records.touched() == {one.clip for one in self.events}
        for name in NAMES:
            for clip in CLIPS:
                numbers = [one.number for one in self.events if (one.annotator, one.clip) == (name, clip)]
                assert records.last_event(name, clip) == max(numbers, default=0)


UndoAndRedo.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestUndoAndRedo = UndoAndRedo.TestCase
