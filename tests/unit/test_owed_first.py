"""A guest that a cut-off run left down comes up before another is restarted (P5), and a final stop waits for none."""

from reconciler.model.actions import ShutDownGuest, StartGuest
from reconciler.model.plan import Step
from reconciler.plan.restarts import one_after_another

DOWN = ShutDownGuest("g3", 120, False)
STOP = Step("stop:g3", DOWN, "a change")
OWED = Step("start:g2", StartGuest("g2", again=True), "an interrupted run shut it down")


def test_a_restart_waits_for_an_owed_start() -> None:
    again = Step("start:g3", StartGuest("g3", DOWN, again=True), "it ran before", after=("stop:g3",))
    assert one_after_another((STOP, again, OWED), (), 1)[0].after == ("start:g2",)


def test_a_stop_for_good_waits_for_none() -> None:
    assert one_after_another((STOP, OWED), (), 1)[0].after == ()
