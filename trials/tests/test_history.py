"""The judges of histories and the plan of the nemesis, with histories made by hand."""

import itertools

import pytest

from trials import nemesis
from trials.clients import checker, history
from trials.clients.history import History, Overlap, Reign
from trials.clients.reader import Read
from trials.clients.writer import Write
from trials.trial import median_and_worst

ERROR = "TimeoutError: Timeout reading from socket"


def acks(host: str, start_s: float, end_s: float, first: int = 1, step_s: float = 0.1):
    """Writes to one host, one after the other, each of 10 ms and acknowledged."""
    count = round((end_s - start_s) / step_s) + 1
    moments = [start_s + i * step_s for i in range(count)]
    return [Write(first + i, at, at + 0.01, host) for i, at in enumerate(moments)]


def history_of(*writes: Write, reads: tuple[Read, ...] = (), stored=None) -> History:
    numbers = [w.number for w in writes] if stored is None else stored
    return History({"c": writes}, reads, {"c": numbers})


def test_a_calm_history_has_nothing_wrong():
    writes = acks("h0", 0.0, 2.0)
    read = Read("c", [19, 20], 2.0, 2.1, "h1")
    verdict = history.judge(history_of(*writes, reads=(read,)))
    assert verdict.lost == {"c": []}
    assert verdict.foreign == {"c": []}
    assert not verdict.false_reads
    assert not verdict.overlaps
    assert verdict.two_primaries_s == 0.0
    assert history.problems(verdict) == []


def test_an_acknowledged_write_that_is_gone_is_lost_and_one_without_an_answer_is_not():
    unknown = Write(2, 0.1, 0.6, "h0", ERROR)
    writes = [Write(1, 0.0, 0.01, "h0"), unknown, Write(3, 0.7, 0.71, "h0")]
    assert history.judge(history_of(*writes, stored=[1])).lost == {"c": [3]}
    assert history.judge(history_of(*writes, stored=[1, 2, 3])).lost == {"c": []}


def test_a_list_that_is_not_there_at_all_has_lost_everything():
    verdict = history.judge(History({"c": acks("h0", 0.0, 0.3)}, (), {}))
    assert verdict.lost == {"c": [1, 2, 3, 4]}


def test_a_number_of_nobody_or_stored_twice_is_found():
    verdict = history.judge(history_of(*acks("h0", 0.0, 0.1), stored=[1, 2, 2, 9]))
    assert verdict.foreign == {"c": [2, 9]}
    assert history.problems(verdict) == ["c: 2 stored that were never tried, or twice"]


def test_each_client_is_judged_by_its_own_list():
    clients = {"a": acks("h0", 0.0, 0.1), "b": acks("h0", 0.0, 0.2)}
    verdict = history.judge(History(clients, (), {"a": [1, 2], "b": [1, 2]}))
    assert verdict.lost == {"a": [], "b": [3]}


# Two primaries.


def test_a_handover_is_no_overlap():
    # One client moves at once, the other holds on and is refused.
    follow = acks("h0", 0.0, 1.0) + acks("h1", 1.5, 3.0, first=50)
    hold = [
        *acks("h0", 0.0, 1.0),
        Write(90, 1.05, 1.5, "h0", "ReadOnlyError: READONLY"),
        *acks("h1", 1.6, 3.0, first=91),
    ]
    verdict = history.judge(History({"f": follow, "h": hold}, (), {}))
    assert not verdict.overlaps


def test_a_primary_that_comes_back_later_is_no_overlap():
    writes = acks("h0", 0.0, 1.0) + acks("h1", 1.6, 3.0) + acks("h0", 3.6, 5.0)
    assert history.judge(history_of(*writes)).overlaps == []


def test_two_primaries_are_found_with_their_time():
    outside = acks("h0", 0.0, 1.0) + acks("h1", 3.0, 9.0)
    inside = acks("h0", 0.0, 5.0)
    verdict = history.judge(History({"o": outside, "i": inside}, (), {}))
    (overlap,) = verdict.overlaps
    assert overlap.hosts == ("h0", "h1")
    assert (overlap.start_s, overlap.end_s) == pytest.approx((3.01, 5.0))
    assert verdict.two_primaries_s == pytest.approx(1.99)


def test_an_old_primary_that_takes_writes_again_when_it_is_back_is_found():
    # Silent while it was cut off, and a primary for a moment when the cut was healed.
    outside = acks("h0", 0.0, 1.0) + acks("h1", 3.0, 30.0)
    hold = acks("h0", 0.0, 1.0) + acks("h0", 20.0, 20.4, first=50)
    verdict = history.judge(History({"o": outside, "h": hold}, (), {}))
    assert verdict.two_primaries_s == pytest.approx(0.39)


def test_errors_are_no_sign_of_a_primary():
    outside = acks("h1", 0.0, 5.0)
    refused = [Write(n, n / 10, n / 10 + 0.01, "h0", ERROR) for n in range(50)]
    assert not history.judge(History({"o": outside, "r": refused}, (), {})).overlaps


def test_one_late_answer_proves_no_time_of_two_primaries():
    # It may have been written at any moment since it was sent.
    late = [Write(1, 0.0, 10.0, "h0")]
    verdict = history.judge(History({"o": acks("h1", 3.0, 12.0), "l": late}, (), {}))
    assert verdict.two_primaries_s == 0.0


def test_slow_writes_prove_the_time_between_them_only():
    # The first was done by 1.0 at the latest, the last not before 1.2.
    slow = [Write(1, 0.0, 1.0, "h0"), Write(2, 1.0, 1.2, "h0"), Write(3, 1.2, 2.5, "h0")]
    assert history.reigns(slow) == [Reign("h0", 1.0, 1.2)]


def test_a_pause_within_the_limit_does_not_end_a_reign():
    writes = acks("h0", 0.0, 1.0) + acks("h0", 1.4, 2.0)
    assert len(history.reigns(writes)) == 1
    assert len(history.reigns(writes, gap_s=0.2)) == 2


def test_writes_of_several_clients_make_one_reign():
    writes = acks("h0", 0.0, 2.0, step_s=0.8) + acks("h0", 0.4, 2.0, step_s=0.8)
    (reign,) = history.reigns(writes)
    assert (reign.host, reign.start_s) == ("h0", 0.01)


def test_time_that_several_pairs_share_counts_once():
    reigns = [Reign("a", 0.0, 10.0), Reign("b", 1.0, 4.0), Reign("c", 2.0, 5.0)]
    found = history.overlaps(reigns)
    assert [o.hosts for o in found] == [("a", "b"), ("a", "c"), ("b", "c")]
    verdict = history.Verdict(overlaps=found)
    assert verdict.two_primaries_s == pytest.approx(4.0)


def test_reigns_of_one_host_do_not_overlap():
    assert history.overlaps([Reign("a", 0.0, 3.0), Reign("a", 1.0, 2.0)]) == []
    assert history.overlaps([Reign("a", 0.0, 3.0), Reign("b", 3.0, 4.0)]) == []
    assert history.overlaps([Reign("a", 0, 3), Reign("b", 2, 4)]) == [Overlap(("a", "b"), 2, 3)]


# Reads.


def test_a_read_of_what_nobody_wrote_is_found():
    writes = acks("h0", 0.0, 0.2)
    false = Read("c", [2, 7], 0.3, 0.31, "h2")
    verdict = history.judge(history_of(*writes, reads=(false,)))
    assert verdict.false_reads == [false]
    (text,) = history.problems(verdict)
    assert text == "1 reads returned what was never written, first [2, 7] of c on h2"


def test_a_read_before_its_write_began_is_found():
    writes = [Write(1, 5.0, 5.1, "h0")]
    early, under_way = Read("c", [1], 4.0, 4.9, "h1"), Read("c", [1], 4.0, 5.05, "h1")
    assert history.false_reads({"c": writes}, [early, under_way]) == [early]


def test_a_read_of_a_write_without_an_answer_or_of_old_data_is_right():
    writes = {"c": [Write(1, 0.0, 0.1, "h0"), Write(2, 0.1, 0.6, "h0", ERROR)]}
    reads = [Read("c", [1, 2], 0.2, 0.3, "h1"), Read("c", [], 9.0, 9.1, "h1")]
    assert history.false_reads(writes, reads) == []


def test_a_read_of_an_unknown_list_must_be_empty():
    reads = [Read("other", [], 0.0, 0.1, "h1"), Read("other", [1], 0.0, 0.1, "h1")]
    assert history.false_reads({"c": []}, reads) == [reads[1]]


# A primary that was cut off.


def test_how_long_a_cut_off_primary_went_on():
    inside = acks("h0", 0.0, 6.5)
    assert history.acknowledged_after_s(inside, "h0", 3.0, 20.0) == pytest.approx(3.51)


def test_what_was_under_way_and_what_came_after_the_heal_do_not_count():
    writes = [Write(1, 2.9, 3.1, "h0"), Write(2, 21.0, 21.1, "h0"), Write(3, 4.0, 4.1, "h1")]
    assert history.acknowledged_after_s(writes, "h0", 3.0, 20.0) == 0.0


# The plan of the nemesis.


def test_a_seed_repeats_its_plan_and_another_has_another():
    def plan(seed: int) -> list[nemesis.Round]:
        return list(itertools.islice(nemesis.rounds(seed), 50))

    assert plan(7) == plan(7)
    assert plan(7) != plan(8)


@pytest.mark.parametrize("seed", range(20))
def test_a_plan_keeps_the_application_within_its_limits(seed: int):
    units = nemesis.FIRST_UNITS
    for round_ in itertools.islice(nemesis.rounds(seed), 100):
        assert round_.units == units
        verbs = [event.verb for event in round_.events]
        moments = [event.at_s for event in round_.events]
        assert moments == sorted(moments)
        units += verbs.count("add") - verbs.count("remove")
        assert units == round_.units_after
        assert 1 <= units <= nemesis.MOST
        assert verbs.count("empty") <= 1
        if "empty" in verbs:
            assert round_.units > 1
            assert not set(verbs) & {"kill-pod", "kill-all", "cut", "freeze", "remove"}


def test_every_kind_of_trouble_comes_up():
    seen = {e.verb for r in itertools.islice(nemesis.rounds(1), 300) for e in r.events}
    assert seen == {*nemesis.PLANNED, *nemesis.KILLS, *nemesis.CUTS}


def test_planned_changes_and_kills_may_not_lose_anything():
    def may_lose(*verbs: str) -> bool:
        events = tuple(nemesis.Event(0.0, verb, "any", 0, 1.0) for verb in verbs)
        return nemesis.Round(1, 3, 3, events).may_lose

    assert not may_lose("switchover", "delete-pod", "add", "remove", "elect")
    assert not may_lose("kill-process", "kill-pod", "kill-all", "switchover", "remove")
    assert may_lose("cut")
    assert may_lose("kill-pod", "freeze")


def test_what_never_came_is_worse_than_any_time():
    assert median_and_worst([1.0, 3.0, 2.0]) == (2.0, 3.0)
    assert median_and_worst([1.0, None, 2.0]) == (2.0, None)
    assert median_and_worst([None, None, 2.0]) == (None, None)
    assert median_and_worst([]) == (None, None)


def test_only_the_last_write_before_a_host_fell_silent_may_have_had_no_copy():
    silent = Write(4, 0.4, 0.9, "h0", ERROR)
    writes = [*acks("h0", 0.0, 0.2), silent, *acks("h1", 1.5, 1.7, first=5)]
    assert checker.unreplicated(writes, [3]) == [3]
    assert checker.unreplicated(writes, [2, 3]) == [3]
    assert checker.unreplicated(writes, [5, 7]) == []
    assert checker.unreplicated(writes, []) == []


def test_a_host_that_answers_with_a_refusal_did_not_fall_silent():
    refused = Write(4, 0.4, 0.41, "h0", "ReadOnlyError: not by a replica")
    assert checker.unreplicated([*acks("h0", 0.0, 0.2), refused], [3]) == []
    elsewhere = Write(4, 0.4, 0.9, "h1", ERROR)
    assert checker.unreplicated([*acks("h0", 0.0, 0.2), elsewhere], [3]) == []
